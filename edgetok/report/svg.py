"""SVG pieces. Colours come from the page's style sheet by class, so that charts follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

from edgetok.report.markup import Child, Markup, tag

Point = tuple[float, float]


def svg(width: int, height: float, title: str, description: str, *children: Child) -> Markup:
    """A chart of ``width`` x ``height`` units that scales to its column and reads as one image aloud."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        children,
        viewBox=f"0 0 {width} {height:g}",
        role="img",
        aria_label=f"{title}. {description}",
    )


def text(at: Point, content: str, class_: str = "", anchor: str = "start") -> Markup:
    """A line of text whose baseline starts, centres or ends at a point."""
    return tag("text", content, x=at[0], y=at[1], class_=class_ or None, text_anchor=anchor)


def line(start: Point, end: Point, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def rect(at: Point, width: float, height: float, class_: str, radius: float = 2) -> Markup:
    """A rectangle with softened corners."""
    return tag("rect", x=at[0], y=at[1], width=max(width, 0.5), height=height, rx=radius, class_=class_)


def circle(at: Point, radius: float, class_: str) -> Markup:
    """A dot."""
    return tag("circle", cx=at[0], cy=at[1], r=radius, class_=class_)


def path(points: Sequence[Point], class_: str, *, closed: bool = False) -> Markup:
    """A line through points."""
    steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return tag("path", d=f"M{steps}{' Z' if closed else ''}", class_=class_)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) between ``low`` and ``high``, about so many."""
    raw = (high - low) / max(about, 1)
    if raw <= 0:
        return [low]
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [i * step for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]
