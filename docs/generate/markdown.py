"""Markdown pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def cell(text: object) -> str:
    """A value as it may stand in a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; an empty one still has its head."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines) + "\n"


def code(value: object) -> str:
    """A value in code style."""
    return f"`{value}`"


def commit(name: str) -> str:
    """``commit 3961648``, and where files differed from it when it was measured, that they did."""
    changed = " with changes" if name.endswith("-dirty") else ""
    return f"commit {name.removesuffix('-dirty')[:7]}{changed}"
