"""The chart of all reductions: what each budget costs in accuracy against the latency measured for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from docs.generate.figures import MISSING
from docs.generate.methods import Row, joined
from edgetok.report import svg
from edgetok.report.markup import Markup, tag
from edgetok.report.wording import MINUS

NAME = "methods.svg"
WIDTH, HEIGHT = 720, 460
LEFT, RIGHT, TOP, FOOT = 56.0, 448.0, 34.0, 408.0
COLOURS = (
    ("#56606e", "#a3aebb"),
    ("#0b6a8f", "#5cc0e8"),
    ("#b3211c", "#ff8f87"),
    ("#0f6b3d", "#6fd19b"),
    ("#9a4a00", "#f3b15f"),
    ("#6b3fa0", "#c3a1f2"),
    ("#a0307a", "#f08fcb"),
    ("#4d6b00", "#b5d95c"),
    ("#00736b", "#5fd6cc"),
    ("#3a4fb0", "#9fb0ff"),
    ("#7a5c3e", "#d0ad86"),
    ("#15191f", "#e8ebef"),
)
"""Of a series on a light and on a dark page; the first is the baseline's."""
DASHES = ("", "6 3", "2 3")

FAR = 20.0
"""Points of accuracy: what loses more would press all others into one line."""

At = Callable[[float, float], svg.Point]
"""Figures to a place in the chart."""


def style() -> str:
    """The chart's own style sheet: it is a file of its own, and follows light and dark."""
    light = "".join(f"--c{i}:{pair[0]};" for i, pair in enumerate(COLOURS))
    dark = "".join(f"--c{i}:{pair[1]};" for i, pair in enumerate(COLOURS))
    series = "".join(
        f".s{i}{{stroke:var(--c{i});stroke-dasharray:{DASHES[i % len(DASHES)] or 'none'}}}"
        f".d{i}{{fill:var(--c{i})}}"
        for i in range(len(COLOURS))
    )  # fmt: skip
    return (
        f":root{{--page:#fff;--ink:#15191f;--soft:#56606e;--rule:#dfe3e8;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{--page:#101418;--ink:#e8ebef;--soft:#a3aebb;--rule:#2d353e;"
        f"{dark}}}}}"
        "text{fill:var(--ink);font:13px system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif}"
        ".tick{fill:var(--soft);font-size:12px}.page{fill:var(--page)}.grid{stroke:var(--rule)}"
        ".zero{stroke:var(--soft);stroke-dasharray:3 3}.line{fill:none;stroke-width:2;stroke-linejoin:round}"
        f".dot{{stroke:var(--page);stroke-width:1}}{series}"
    )


def chart(results: Path) -> str | None:
    """Drop against latency, one line per method; ``None`` where a half is not measured."""
    rows, _ = shown(results)
    if not rows:
        return None
    names = list(dict.fromkeys(row["method"] for row in rows))
    x_range = _padded([row["latency"]["value"] for row in rows], 0.04)
    y_range = _padded([0.0, *(row["drop"]["value"] for row in rows)], 0.05)

    def at(x: float, y: float) -> svg.Point:
        across, down = (x - x_range[0]) / (x_range[1] - x_range[0]), (y - y_range[0]) / (y_range[1] - y_range[0])
        return LEFT + (RIGHT - LEFT) * across, FOOT - (FOOT - TOP) * down

    lines = [_series(i, name, [row for row in rows if row["method"] == name], at) for i, name in enumerate(names)]
    drawn = svg.svg(
        WIDTH,
        HEIGHT,
        "Accuracy drop against latency",
        f"{len(names)} methods; the table beside the chart has every figure.",
        tag("style", Markup(style())),
        svg.rect((0, 0), WIDTH, HEIGHT, "page", 0),
        _grid(x_range, y_range, at),
        lines,
        svg.text((LEFT - 44, 16), "drop in points of accuracy (dense is 0; lower is better)", "tick"),
        svg.text((RIGHT, FOOT + 38), "latency, of dense (left is faster)", "tick", "end"),
    )
    return str(drawn).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def shown(results: Path) -> tuple[list[Row], list[str]]:
    """The rows in the chart, and what loses too much to be in one with the others: methods with their budgets."""
    rows = [row for row in joined(results) if row["latency"] is not None]
    far = [row for row in rows if row["drop"]["value"] > FAR]
    return [row for row in rows if row not in far], [f"{row['method']} at {row['budget']} %" for row in far]


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = share * (high - low) or 0.05
    return low - margin, high + margin


def _grid(x_range: tuple[float, float], y_range: tuple[float, float], at: At) -> list[Markup]:
    drawn = []
    for y in svg.ticks(*y_range, 6):
        drawn.append(svg.line(at(x_range[0], y), at(x_range[1], y), "zero" if abs(y) < 1e-9 else "grid"))
        label = f"{y:g}".replace("-", MINUS)
        drawn.append(svg.text((LEFT - 8, at(0, y)[1] + 4), label, "tick", "end"))
    for x in svg.ticks(*x_range, 6):
        drawn.append(svg.text((at(x, 0)[0], FOOT + 18), f"{x:.2g}", "tick", "middle"))
    return drawn


def _series(index: int, name: str, rows: Sequence[Row], at: At) -> list[Markup]:
    """A method's line and dots in the order of latency, and its name in the legend."""
    colour = index % len(COLOURS)
    points = [at(row["latency"]["value"], row["drop"]["value"]) for row in rows]
    y = TOP + 10 + 22 * index
    return [
        svg.path(points, f"line s{colour}"),
        *(svg.circle(point, 4, f"dot d{colour}") for point in points),
        svg.line((RIGHT + 18, y), (RIGHT + 44, y), f"line s{colour}"),
        svg.circle((RIGHT + 31, y), 4, f"dot d{colour}"),
        svg.text((RIGHT + 52, y + 4), name),
    ]


def image(results: Path) -> str:
    """The chart as a page shows it."""
    if chart(results) is None:
        return MISSING
    out = shown(results)[1]
    note = f"\nNot in the chart, for losing more than {FAR:g} points: {', '.join(out)}.\n" if out else ""
    return f"![Accuracy drop against measured latency]({NAME})\n{note}"


def files(root: Path) -> dict[Path, str]:
    """The chart's file, where it can be drawn."""
    drawn = chart(root / "benchmarks" / "results")
    return {} if drawn is None else {root / "docs" / NAME: drawn}


def blocks(results: Path) -> dict[str, Callable[[], str]]:
    """The block ``methods chart``."""
    return {"methods chart": lambda: image(results)}
