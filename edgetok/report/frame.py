"""The frame of the HTML report's sections: titles, charts for two widths, tables, and how figures came about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edgetok.report.charts import NARROW, WIDE
from edgetok.report.markup import Child, Markup, tag


class _HasHow(Protocol):
    @property
    def how(self) -> str: ...


def section(title: str, *children: Child) -> Markup:
    """A titled section of the page."""
    return tag("section", tag("h2", title), children)


def how(*sections: _HasHow, names: Sequence[str] = ()) -> list[Markup]:
    """How the figures above came about; where there are several kinds each is named."""
    labels = [f"How, {name}: " for name in names] or ["How: "] * len(sections)
    return [tag("p", label, found.how, class_="how") for label, found in zip(labels, sections, strict=True)]


def chart(draw: Callable[[int], Markup]) -> Markup:
    """One chart drawn twice: for a phone's column and for a desk's; the style sheet shows one of them."""
    drawn = ((NARROW, "narrow"), (WIDE, "wide"))
    return tag("figure", [tag("div", draw(width), class_=name) for width, name in drawn])


def table(head: Sequence[str], rows: Sequence[Sequence[Child]], class_: str = "") -> Markup:
    """A table that scrolls by itself where it is wider than a phone."""
    top = tag("thead", tag("tr", [tag("th", cell, scope="col") for cell in head])) if head else None
    body = tag("tbody", [tag("tr", [tag("td", cell) for cell in row]) for row in rows])
    return tag("div", tag("table", top, body, class_=class_ or None), class_="scroll")
