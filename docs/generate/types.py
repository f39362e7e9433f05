"""Types as a person writes them: ``int | list[int]``, without what pydantic keeps inside."""

from __future__ import annotations

import types
from typing import Annotated, Literal, Union, get_args, get_origin


def spelled(annotation: object) -> str:
    """An annotation in words that fit a table cell; constraints are left to the description."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return spelled(parts[0])
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(spelled(part) for part in parts))
    if origin is Literal:
        return " | ".join(repr(part) for part in parts)
    if origin is not None:
        inner = ", ".join("..." if part is Ellipsis else spelled(part) for part in parts)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    if annotation is type(None):
        return "None"
    return getattr(annotation, "__name__", str(annotation))
