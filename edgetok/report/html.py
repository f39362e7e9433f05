"""``report.html``: one file, nothing fetched, no script; charts are inline SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.report.cost_panels import cost, latency, tokens
from edgetok.report.lowering_panel import lowering
from edgetok.report.markup import Markup, tag
from edgetok.report.proof_panels import accuracy, parity
from edgetok.report.run_panels import changes, reproduce
from edgetok.report.style import CSS
from edgetok.report.wording import (
    NONE,
    change,
    harmless,
    interval,
    milliseconds,
    number,
    points,
    ratio,
    scaled,
    speed_level,
    verdict,
)

if TYPE_CHECKING:
    from edgetok.report.schema import Report

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render_html(report: Report) -> str:
    """The page for a report: verdict, four figures, then a section per question, each saying how it was measured.

    Strings from outside (model, plugin and site names, reasons) are escaped, and the page's own policy forbids
    scripts and requests.
    """
    body = tag("main", _header(report), _verdict(report), _tiles(report), _sections(report), _footer(report))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", f"{report.model.name}: edgetok report"),
        tag("style", Markup(CSS)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def _sections(report: Report) -> list[Markup | None]:
    order = (tokens, latency, accuracy, cost, parity, lowering, changes, reproduce)
    return [panel(report) for panel in order]


def _header(report: Report) -> Markup:
    plugins = ", ".join(plugin.name for plugin in report.plugins) or "no plugin"
    size = f", {scaled(report.model.parameters, ' parameters')}" if report.model.parameters else ""
    return tag(
        "header",
        tag("p", "edgetok report", class_="eyebrow"),
        tag("h1", report.model.name),
        tag("p", f"{plugins} for {report.target.name} ({report.target.runtime}, {report.target.dtype}){size}"),
    )


def _verdict(report: Report) -> Markup:
    found = verdict(report)
    details = [tag("p", detail) for detail in found.details]
    role = "alert" if found.level == "fail" else None
    return tag("div", tag("strong", found.headline), details, class_=f"verdict {found.level}", role=role)


def _tiles(report: Report) -> Markup:
    tiles = (_speed_tile(report), _flops_tile(report), _accuracy_tile(report), _parity_tile(report))
    return tag("dl", [_tile(*tile) for tile in tiles], class_="tiles")


def _tile(name: str, figure: str, under: str, level: str) -> Markup:
    shown = tag("dd", figure, class_=f"figure {level}")
    return tag("div", tag("dt", name), shown, tag("dd", under, class_="under"))


Tile = tuple[str, str, str, str]


def _speed_tile(report: Report) -> Tile:
    row = report.latency
    if row.ratio is None:
        return "Speed", NONE, "not measured", ""
    times = f"{milliseconds(row.dense_ms)} → {milliseconds(row.optimized_ms)}"
    return "Speed", ratio(row.ratio), times, speed_level(row) if report.parity.passed else ""


def _flops_tile(report: Report) -> Tile:
    flops = report.flops
    return "FLOPs", ratio(flops.ratio), change(flops.dense, flops.optimized, "FLOPs"), ""


def _accuracy_tile(report: Report) -> Tile:
    found = report.accuracy
    if found.drop is None:
        return "Accuracy drop", NONE, "not evaluated", ""
    under = f"points ({interval(*found.ci95)})" if found.ci95 else "points"
    return f"{found.metric.capitalize()} drop", points(found.drop), under, "" if harmless(report) else "warn"


def _parity_tile(report: Report) -> Tile:
    found = report.parity
    if not found.executed:
        return "Parity", "not proven", "the file was not executed", "warn"
    words = "within" if found.passed else "off by"
    under = f"{words} {number(found.max_abs, 2)}" if found.max_abs is not None else ""
    return "Parity", "passed" if found.passed else "FAILED", under, "good" if found.passed else "fail"


def _footer(report: Report) -> Markup:
    when = report.created.strftime("%Y-%m-%d %H:%M %Z")
    text = f"Rendered from report.json ({report.schema_version}), {when}. Ratios are dense / optimised."
    return tag("footer", tag("p", text))
