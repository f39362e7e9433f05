"""Every error code, from ``edgetok.errors``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import edgetok.errors
from docs.generate.markdown import code, table
from edgetok.errors import EdgetokError


def families() -> list[type[EdgetokError]]:
    """The direct subclasses of ``EdgetokError``, by exit status of usage first."""
    return sorted(EdgetokError.__subclasses__(), key=lambda family: family.exit_status)


def members(family: type[EdgetokError]) -> list[type[EdgetokError]]:
    """The errors of a family that edgetok exports, by code."""
    public = (getattr(edgetok.errors, name) for name in edgetok.errors.__all__)
    return sorted((error for error in public if error in family.__subclasses__()), key=lambda error: error.code)


def summary(error: type[EdgetokError]) -> str:
    """The first line of its docstring, without the exit status of a family."""
    return re.sub(r" \(exit status \d+\)", "", (inspect.getdoc(error) or "").splitlines()[0])


def reference() -> str:
    """A section per family: its exit status, then a table of code, class and meaning."""
    parts = []
    for family in families():
        name = family.__name__.removesuffix("Error").lower()
        rows = [(code(error.code), code(error.__name__), summary(error)) for error in members(family)]
        parts.append(f"## {name.capitalize()}: exit status {family.exit_status}\n")
        parts.append(f"{summary(family)}\n\n{table(('code', 'class', 'meaning'), rows)}")
    return "\n".join(parts)


def blocks() -> dict[str, Callable[[], str]]:
    """The block ``errors``."""
    return {"errors": reference}
