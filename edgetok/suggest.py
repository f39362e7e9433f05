"""Did-you-mean: the nearest known name to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The most similar known name, or None where nothing is similar."""
    by_lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def hint(name: str, known: Iterable[str], *, kind: str = "name") -> str:
    """A hint for people: the nearest name if there is one, then all of them."""
    names = sorted(known)
    near = nearest(name, names)
    listing = f"known {kind}s: {', '.join(names)}" if names else f"no {kind}s are known here"
    return f"did you mean {near!r}? {listing}" if near else listing


def first_mistake(error: ValidationError) -> ErrorDetails:
    """The mistake to tell: an unknown key before others, for a mistyped key is why another one is missing."""
    mistakes = error.errors(include_url=False)
    return next((m for m in mistakes if m["type"] == "extra_forbidden"), mistakes[0])
