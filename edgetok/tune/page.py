"""``tune.html``: verdict, Pareto plot, schedules, curve and trials, each saying how it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetok.report import svg
from edgetok.report.charts import WIDE
from edgetok.report.frame import chart, section, table
from edgetok.report.html import POLICY
from edgetok.report.markup import Markup, tag
from edgetok.report.style import CSS

if TYPE_CHECKING:
    from edgetok.tune.result import Interval, Outcome, Point, Tuned

SHOWN = 20
"""Rows of the table of trials; ``tune.json`` has all."""


def render_html(tuned: Tuned) -> str:
    """One page: nothing fetched, no script; strings from outside are escaped."""
    parts = (_header(tuned), _verdict(tuned), _pareto(tuned), _outcomes(tuned), _schedule(tuned), _curve(tuned))
    body = tag("main", *parts, _trials(tuned), _footer(tuned))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", f"{tuned.model}: edgetok tune"),
        tag("style", Markup(CSS)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def _header(tuned: Tuned) -> Markup:
    text = f"{tuned.plugin} for {tuned.target} ({tuned.runtime}); goal: {tuned.goal}; {tuned.method}"
    return tag("header", tag("p", "edgetok tune", class_="eyebrow"), tag("h1", tuned.model), tag("p", text))


def _verdict(tuned: Tuned) -> Markup:
    missed = None if tuned.shortfall is None else tag("p", tuned.shortfall)
    better = tuned.kl_ratio is not None and tuned.kl_ratio.high < 1
    level = "warn" if missed is not None else "good" if better else "plain"
    return tag("div", tag("strong", tuned.verdict), missed, class_=f"verdict {level}")


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both cost and KL, by cost."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, p.kl)):
        if not kept or point.kl < kept[-1].kl:
            kept.append(point)
    return kept


def _pareto(tuned: Tuned) -> Markup:
    note = f"Each dot is a schedule: predicted {_cost_name(tuned)} of dense, and KL to dense on the tuning data."
    return section("What was tried", chart(lambda width: pareto_chart(tuned, width)), tag("p", note, class_="how"))


def pareto_chart(tuned: Tuned, width: int) -> Markup:
    """KL against cost: every point, the frontier as a line, constant r as another, the choice named."""
    points = tuned.points
    left, right, top, foot = 52.0, width - 10.0, 22.0, 216.0 if width < WIDE else 300.0
    low, high = _range([p.cost for p in points])
    peak = max(p.kl for p in points) * 1.08 or 1.0

    def at(cost: float, kl: float) -> svg.Point:
        return left + (right - left) * (cost - low) / (high - low), foot - (foot - top) * kl / peak

    rows = [
        (svg.line(at(low, y), at(high, y), "grid"), svg.text((left - 6, at(low, y)[1] + 4), f"{y:.3g}", "tick", "end"))
        for y in svg.ticks(0, peak, 4)
    ]
    columns = [svg.text((at(x, 0)[0], foot + 18), f"{x:g}", "tick", "middle") for x in svg.ticks(low, high, 5)]
    constant = sorted({(p.cost, p.kl) for p in points if p.origin == "constant"})
    best = tuned.best
    return svg.svg(
        width,
        foot + 44,
        "Pareto plot",
        f"{len(points)} schedules; the chosen one costs {best.cost:.3f} of dense at KL {best.kl:.4f}.",
        rows,
        columns,
        svg.path([at(*pair) for pair in constant], "line dense") if len(constant) > 1 else None,
        svg.path([at(p.cost, p.kl) for p in frontier(points)], "line optimized"),
        [svg.circle(at(p.cost, p.kl), 2.5, "bar dense" if p.origin == "constant" else "bar optimized") for p in points],
        svg.circle(at(best.cost, best.kl), 6, "dot"),
        svg.text((left, 12), "KL to dense (nats); grey: constant r", "tick"),
        svg.text((right, foot + 36), f"{_cost_name(tuned)} of dense", "tick", "end"),
    )


def _cost_name(tuned: Tuned) -> str:
    return "tokens" if tuned.best.latency is None else "latency"


def _range(costs: Sequence[float]) -> tuple[float, float]:
    low, high = min(costs), max(costs)
    margin = max(0.05 * (high - low), 0.01)
    return low - margin, high + margin


def _outcomes(tuned: Tuned) -> Markup:
    head = ("on evaluation data", "latency of dense", "predicted", "ms", "KL", "agreement %", "drop, points")
    rows = [("schedule found", *_figures(tuned.found)), ("constant r", *_figures(tuned.constant))]
    how = f"Tuned on {tuned.tuned_on}; evaluated on {tuned.evaluated_on}. {tuned.how}"
    return section("Against constant r", table(head, rows), tag("p", how, class_="how"))


def _figures(outcome: Outcome) -> tuple[str, ...]:
    return (
        _interval(outcome.latency),
        _number(outcome.predicted),
        _number(outcome.milliseconds),
        _number(outcome.kl),
        _number(outcome.agreement),
        _interval(outcome.drop),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _interval(found: Interval | None) -> str:
    return "-" if found is None else f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g})"


def _schedule(tuned: Tuned) -> Markup:
    rows = [
        (name, " ".join(map(str, outcome.tokens)))
        for name, outcome in (("schedule found", tuned.found), ("constant r", tuned.constant))
    ]
    options = ", ".join(f"{key}={value}" for key, value in tuned.found.options.items())
    use = tag("p", "Replay: ", tag("code", "edgetok optimize -c recipe.yaml -o DIRECTORY"))
    return section("Tokens after each attention", table((), rows), tag("p", tag("code", options)), use)


def _curve(tuned: Tuned) -> Markup | None:
    curve = tuned.curve
    if curve is None:
        return section("Latency", tag("p", "Not measured; schedules are compared by their tokens.", class_="how"))
    head = ("tokens after each attention", "options", "measured, of dense", "fitted")
    guessed = ", ".join(f"{name} {value}" for name, value in curve.guessed.items())
    rows = [
        (
            " ".join(map(str, r.tokens)),
            guessed if r.guessed else "as given",
            f"{r.measured:.3f} ({r.spread[0]:.3f} to {r.spread[1]:.3f})",
            f"{r.fitted:.3f}",
        )
        for r in curve.rows
    ]
    load = "" if curve.load_average is None else f"; load average {curve.load_average:.2f}"
    how = f"{curve.how}; dense {curve.dense_ms:.2f} ms{load}."
    return section("Latency against tokens", table(head, rows, "wrap"), tag("p", how, class_="how"))


def _trials(tuned: Tuned) -> Markup:
    head = ("from", "removed per layer", "cost", "KL", "agreement %", "drop")
    ordered = sorted(tuned.points, key=lambda p: (p.kl, p.cost))
    rows = [
        (p.origin, " ".join(map(str, p.removed)), f"{p.cost:.3f}", f"{p.kl:.4f}", f"{p.agreement:.1f}", _number(p.drop))
        for p in ordered[:SHOWN]
    ]
    how = f"{len(ordered)} schedules, the {min(SHOWN, len(ordered))} of least KL shown; all are in tune.json. "
    study = f"Study {tuned.study}, {tuned.trials} trials." if tuned.study else ""
    return section("Schedules on the tuning data", table(head, rows, "wrap"), tag("p", how + study, class_="how"))


def _footer(tuned: Tuned) -> Markup:
    when = tuned.created.strftime("%Y-%m-%d %H:%M %Z")
    return tag("footer", tag("p", f"Rendered from tune.json ({tuned.schema_version}), {when}."))
