"""Sections on what the model costs: tokens, latency, compute and size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgetok.report.charts import Pair, pairs_chart, tokens_chart
from edgetok.report.frame import chart, how, section, table
from edgetok.report.markup import Markup, tag
from edgetok.report.wording import count, milliseconds, ratio, ratio_with_spread, saving, scaled, setting, speed_level

if TYPE_CHECKING:
    from edgetok.report.cost import FlopsSection, LatencyRow, Quantity
    from edgetok.report.schema import Report


def tokens(report: Report) -> Markup | None:
    """Tokens per layer."""
    if not report.tokens.per_layer or not report.tokens.dense_per_layer:
        return None
    return section("Tokens per layer", chart(lambda w: tokens_chart(report.tokens, w)), how(report.tokens))


def latency(report: Report) -> Markup:
    """Latency at every setting that was measured."""
    rows = report.latency.rows
    if not rows:
        return section("Latency", tag("p", "Not measured in this run."), how(report.latency))
    runtime = report.latency.runtime
    runs = f", {report.latency.runs:,} runs" if report.latency.runs else ""
    load = report.latency.load_average
    note = "Bars are medians, thin lines reach to the 90th percentile. Each pair has its own scale, from zero."
    return section(
        "Latency",
        chart(lambda w: pairs_chart([_latency_pair(row) for row in rows], w, "Latency")),
        tag("p", note, f" Runtime: {runtime}{runs}." if runtime else "", class_="quiet"),
        tag("p", f"Machine load when it began: {load:.2f}.", class_="quiet") if load is not None else None,
        how(report.latency),
    )


def _latency_pair(row: LatencyRow) -> Pair:
    word = ", slower" if speed_level(row) == "warn" else ""
    return Pair(
        setting(row) or "one call",
        f"{ratio_with_spread(row)}{word}",
        row.dense_ms,
        row.optimized_ms,
        (milliseconds(row.dense_ms), milliseconds(row.optimized_ms)),
        (row.dense_p90_ms, row.optimized_p90_ms),
        speed_level(row),
    )


def cost(report: Report) -> Markup:
    """FLOPs, file size, memory and load time."""
    flops, load = report.flops, report.load_ms
    pairs = [
        _pair(f"FLOPs, {count(flops.samples, 'sample')}", flops, lambda v: scaled(v, "FLOPs")),
        _pair("Files", report.size_bytes, lambda v: scaled(v, "B")),
        _pair("Peak memory", report.memory, lambda v: scaled(v, "B")),
        _pair("Cold load", load, milliseconds),
    ]
    drawn = [pair for pair in pairs if pair.dense is not None or pair.optimized is not None]
    uncounted = f"Not in the FLOP count: {', '.join(flops.uncounted)}." if flops.uncounted else None
    return section(
        "Compute and size",
        chart(lambda w: pairs_chart(drawn, w, "Compute and size")),
        tag("p", f"FLOPs of the blocks alone, as papers quote them: {ratio(flops.paper_style_ratio)}."),
        tag("p", uncounted, class_="warn-text") if uncounted else None,
        _flops_parts(report),
        how(flops, report.size_bytes, report.memory, load, names=("FLOPs", "files", "memory", "load")),
    )


def _pair(heading: str, found: FlopsSection | Quantity, words: Callable[[float | None], str]) -> Pair:
    labels = (words(found.dense), words(found.optimized))
    return Pair(heading, saving(found.ratio), found.dense, found.optimized, labels)


def _flops_parts(report: Report) -> Markup | None:
    if not report.flops.parts:
        return None
    rows = [(p.part, scaled(p.dense, "FLOPs"), scaled(p.optimized, "FLOPs")) for p in report.flops.parts]
    return tag("details", tag("summary", "FLOPs by part"), table(("part", "dense", "optimised"), rows))
