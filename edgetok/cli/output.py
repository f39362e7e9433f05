"""Results go to stdout, everything else to stderr; with ``--json`` stdout holds one JSON value and nothing more."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, TextIO

from pydantic import BaseModel

from edgetok.errors import EdgetokError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_kept: list[TextIO] = []
"""The real stdout, while stdout is kept for JSON."""


@contextmanager
def json_only() -> Iterator[None]:
    """Send whatever libraries print, at file-descriptor level too, to stderr; ``emit`` still reaches stdout."""
    sys.stdout.flush()
    saved = os.dup(1)
    with os.fdopen(saved, "w", encoding="utf-8") as out, redirect_stdout(sys.stderr):
        _kept.append(out)
        os.dup2(2, 1)
        try:
            yield
        finally:
            _kept.pop()
            try:
                out.flush()
            finally:
                os.dup2(saved, 1)


def emit(value: Any) -> None:
    """Write one JSON value to stdout."""
    out = _kept[-1] if _kept else sys.stdout
    json.dump(plain(value), out, indent=2, ensure_ascii=False, allow_nan=False)
    out.write("\n")


def plain(value: Any) -> Any:
    """Anything edgetok returns, as JSON data; what is not finite becomes null."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json", by_alias=True))
    if hasattr(value, "as_dict"):
        return plain(value.as_dict())
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def show(*what: RenderableType) -> None:
    """Print for people, on stdout; text is never read as mark-up."""
    console().print(*what, sep="\n")


def console() -> Console:
    """Stdout, without mark-up or guessing at colours for numbers."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table; text is never read as mark-up."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), show_header=any(columns))
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def fields(value: Any) -> Table:
    """Any result as a table of dotted names and values."""
    return table(("", ""), [(name, str(item)) for name, item in _flat("", plain(value)) if item is not None])


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else key, item)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from _flat(f"{prefix}.{index}", item)
    else:
        yield prefix, ", ".join(map(str, value)) if isinstance(value, list) else value


def tell(error: EdgetokError, *, as_json: bool) -> None:
    """An error for people on stderr, and for programs on stdout where they asked for JSON."""
    with suppress(BrokenPipeError):
        print(error, file=sys.stderr)
    if as_json:
        emit({"error": error.as_dict()})
