"""The report's charts. Each is drawn for a column width, so that its type is readable on a phone and on a desk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgetok.report import svg
from edgetok.report.cost import Tokens
from edgetok.report.evidence import Accuracy
from edgetok.report.markup import Markup
from edgetok.report.wording import MINUS, interval, points

NARROW, WIDE = 328, 720
LETTER = 8.0
"""Room for one letter of a bold label, in chart units: generous, as fonts differ."""
LABEL_WIDTH = 110.0
"""Room that a label takes at most, in chart units."""


@dataclass(frozen=True)
class Pair:
    """Two bars on one scale: a quantity of the dense and of the optimised model.

    ``tails`` are upper ends of the thin lines beyond each bar (p90), ``note`` stands at the right of the heading.
    """

    heading: str
    note: str
    dense: float | None
    optimized: float | None
    labels: tuple[str, str]
    tails: tuple[float | None, float | None] = (None, None)
    level: str = "plain"


def tokens_chart(tokens: Tokens, width: int) -> Markup:
    """Steps of the tokens entering each block, dense and optimised, from zero; the last step is the output."""
    dense, optimized = tokens.dense_per_layer, tokens.per_layer
    count, top = max(len(dense), len(optimized)), max(*dense, *optimized)
    left, right, head, foot = 38.0, width - 6.0, 26.0, 176.0 if width < WIDE else 226.0
    step = (right - left) / count

    def at(index: float, value: float) -> svg.Point:
        return left + index * step, foot - (foot - head) * value / top

    def steps(values: Sequence[int]) -> list[svg.Point]:
        return [at(i + side, value) for i, value in enumerate(values) for side in (0, 1)]

    grid = [
        (svg.line(at(0, y), at(count, y), "grid"), svg.text((left - 7, at(0, y)[1] + 4), f"{y:.0f}", "tick", "end"))
        for y in svg.ticks(0, top, 4)
    ]
    area = [at(0, 0), *steps(optimized), at(len(optimized), 0)]
    return svg.svg(
        width,
        foot + 42,
        "Tokens per layer",
        f"Dense: {dense[0]} to {dense[-1]}. Optimised: {optimized[0]} to {optimized[-1]}.",
        grid,
        svg.path(area, "area", closed=True),
        svg.path(steps(dense), "line dense"),
        svg.path(steps(optimized), "line optimized"),
        _layer_axis(count, left, step, foot),
        svg.text((left + (right - left) / 2, foot + 36), "layer", "tick", "middle"),
        svg.text((left, 12), "tokens", "tick", "middle"),
        _end_labels(dense[-1], optimized, at(count, dense[-1]), at(count, optimized[-1]), (step, foot, head)),
    )


def _layer_axis(count: int, left: float, step: float, foot: float) -> list[Markup]:
    """A tick label per layer, thinned to what fits; the last one names the output."""
    stride = next(s for s in (1, 2, 3, 4, 6, 8, 12, 24, 48, 10**6) if s * step >= 20)
    shown = [i for i in range(count - 1) if i % stride == 0 and (count - 1 - i) * step >= 24]
    labels = [svg.text((left + (i + 0.5) * step, foot + 18), str(i + 1), "tick", "middle") for i in shown]
    out = ((count - 0.5) * step, "middle") if step >= 24 else (count * step, "end")
    return [*labels, svg.text((left + out[0], foot + 18), "out", "tick", out[1])]


def _end_labels(
    dense: int, optimized: Sequence[int], high: svg.Point, low: svg.Point, scale: tuple[float, float, float]
) -> list[Markup]:
    """The lines' names and final counts at their right ends; one label where they coincide.

    The optimised one stands under its falling line, or above what it covers where there is no room below.
    """
    if dense == optimized[-1]:
        return [svg.text((high[0], high[1] - 8), f"dense and optimised {dense}", "label", "end")]
    step, foot, head = scale
    covered = optimized[-int(LABEL_WIDTH // step) - 1 :]
    peak = foot - (foot - low[1]) * max(covered) / max(optimized[-1], 1)
    below = foot - low[1] >= 24
    y = low[1] + 17 if below else max(peak - 8, head + 14)
    return [
        svg.text((high[0], high[1] - 8), f"dense {dense}", "label dense-text", "end"),
        svg.text((low[0] - 4, y), f"optimised {optimized[-1]}", "label optimized-text", "end"),
    ]


def pairs_chart(pairs: Sequence[Pair], width: int, title: str) -> Markup:
    """Pairs of bars below each other, each pair on its own scale from zero, with values at the bars' ends."""
    extra = 18.0 if any(len(p.heading) + len(p.note) > width / LETTER for p in pairs) else 0.0
    height = 78.0 + extra
    rows = [_pair(pair, width, index * height, extra) for index, pair in enumerate(pairs)]
    told = "; ".join(f"{p.heading}: dense {p.labels[0]}, optimised {p.labels[1]}, {p.note}" for p in pairs)
    return svg.svg(width, len(pairs) * height - 8, title, told + ".", rows)


def _pair(pair: Pair, width: int, top: float, extra: float) -> list[Markup]:
    left, room = 74.0, width - 74.0 - 98.0
    largest = max(v for v in (pair.dense, pair.optimized, *pair.tails, 0.0) if v is not None) or 1.0
    heading = svg.text((0, top + 14), pair.heading, "label")
    style, top = f"label {pair.level}-text", top + extra
    note = svg.text((0, top + 14), pair.note, style) if extra else svg.text((width, top + 14), pair.note, style, "end")
    drawn = [heading, note]
    values = zip((pair.dense, pair.optimized), pair.labels, pair.tails, ("dense", "optimized"), strict=True)
    for row, (value, label, tail, name) in enumerate(values):
        y = top + 24 + row * 22
        drawn.append(svg.text((0, y + 11), "optimised" if name == "optimized" else name, "tick"))
        end = left + room * (value or 0.0) / largest
        if value is not None:
            drawn.append(svg.rect((left, y), end - left, 14, f"bar {name}"))
        if value is not None and tail is not None and tail > value:
            reach = left + room * tail / largest
            drawn += [svg.line((end, y + 7), (reach, y + 7), "tail"), svg.line((reach, y + 3), (reach, y + 11), "tail")]
            end = reach
        drawn.append(svg.text((end + 7, y + 11), label, "value"))
    return drawn


def drop_chart(accuracy: Accuracy, width: int) -> Markup:
    """The drop in points as a dot with its 95 % interval on an axis that contains zero."""
    drop = accuracy.drop or 0.0
    low, high = accuracy.ci95 or (drop, drop)
    reach = max(abs(low), abs(high), 0.5) * 1.15
    start, end = min(-0.25 * reach, low * 1.15), max(0.25 * reach, high * 1.15)
    left, right, axis = 14.0, width - 14.0, 74.0

    def at(value: float, y: float) -> svg.Point:
        return left + (right - left) * (value - start) / (end - start), y

    label = f"{points(drop)} points"
    centre = min(max(at(drop, 0)[0], left + 40), right - 40)
    scale = [
        (
            svg.line(at(t, axis), at(t, axis + 5), "axis"),
            svg.text(at(t, axis + 19), f"{t:g}".replace("-", MINUS), "tick", "middle"),
        )
        for t in svg.ticks(start, end, 4 if width < WIDE else 8)
    ]
    return svg.svg(
        width,
        axis + 44,
        "Accuracy drop",
        f"{label}" + (f", 95 percent interval {interval(low, high)}." if accuracy.ci95 else "."),
        svg.line((left, axis), (right, axis), "axis"),
        scale,
        svg.line(at(0, 18), at(0, axis), "zero"),
        svg.text(at(0, 12), "no change", "tick", "middle"),
        svg.line(at(low, 54), at(high, 54), "interval"),
        svg.circle(at(drop, 54), 5.5, "dot"),
        svg.text((centre, 42), label, "label optimized-text", "middle"),
        svg.text((left, axis + 38), "← better", "tick"),
        svg.text((right, axis + 38), "worse →", "tick", "end"),
    )
