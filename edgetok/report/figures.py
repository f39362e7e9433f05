"""The before/after rows that the card and the terminal show alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetok.report.wording import (
    DASH,
    NONE,
    count,
    interval,
    milliseconds,
    number,
    points,
    ratio,
    ratio_with_spread,
    scaled,
    setting,
)

if TYPE_CHECKING:
    from edgetok.report.evidence import Parity
    from edgetok.report.schema import Report


@dataclass(frozen=True)
class Figure:
    """One row: what, dense, optimised, their comparison (a ratio, or a drop), and how it was measured."""

    name: str
    dense: str
    optimized: str
    compared: str
    how: str


def figures(report: Report) -> list[Figure]:
    """All rows that hold a figure, in the order people ask for them."""
    return [*_latency(report), *_accuracy(report), *_cost(report), _parity(report)]


def _latency(report: Report) -> list[Figure]:
    found = report.latency
    return [
        Figure(
            f"latency, {setting(row)}" if setting(row) else "latency",
            milliseconds(row.dense_ms),
            milliseconds(row.optimized_ms),
            ratio_with_spread(row),
            ", ".join(part for part in (row.runtime or found.runtime, report.machine.processor, found.how) if part),
        )
        for row in found.rows
    ]


def _accuracy(report: Report) -> list[Figure]:
    found = report.accuracy
    if found.drop is None:
        return []
    low_high = f" ({interval(*found.ci95)})" if found.ci95 else ""
    drop = f"drop {points(found.drop)}{low_high}"
    rows = [Figure(f"{found.metric}, points", points(found.dense), points(found.optimized), drop, found.how)]
    text = found.perplexity
    if text is not None:
        compared = ratio(text.ratio) + (f" ({text.ci95[0]:.3f}{DASH}{text.ci95[1]:.3f})" if text.ci95 else "")
        rows.insert(0, Figure("perplexity", number(text.dense), number(text.optimized), compared, found.how))
    return rows


def _cost(report: Report) -> list[Figure]:
    flops, tokens, load = report.flops, report.tokens, report.load_ms
    totals = (scaled(flops.dense, ""), scaled(flops.optimized, ""), ratio(flops.ratio))
    rows = [
        Figure(f"FLOPs, {count(flops.samples, 'sample')}", *totals, flops.how),
        Figure("FLOPs, blocks alone", NONE, NONE, ratio(flops.paper_style_ratio), flops.how),
    ]
    if tokens.per_layer and tokens.dense_per_layer:
        last = (str(tokens.dense_per_layer[-1]), str(tokens.per_layer[-1]))
        rows.append(Figure("tokens after the last block", *last, NONE, tokens.how))
    for name, pair in (("files", report.size_bytes), ("peak memory", report.memory)):
        if pair.dense is not None or pair.optimized is not None:
            rows.append(Figure(name, scaled(pair.dense, "B"), scaled(pair.optimized, "B"), ratio(pair.ratio), pair.how))
    if load.dense is not None or load.optimized is not None:
        rows.append(
            Figure("cold load", milliseconds(load.dense), milliseconds(load.optimized), ratio(load.ratio), load.how)
        )
    return rows


def _parity(report: Report) -> Figure:
    found = report.parity
    largest = f"{number(found.max_abs, 2)}" if found.max_abs is not None else "not finite"
    return Figure("parity, largest difference", NONE, largest, _passed(found), found.how)


def _passed(found: Parity) -> str:
    if not found.executed:
        return "not proven"
    return "passed" if found.passed else "FAILED"
