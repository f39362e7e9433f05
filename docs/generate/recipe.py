"""The keys of a recipe, from its pydantic model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import get_args

from pydantic import BaseModel

from docs.generate.markdown import code, table
from docs.generate.types import spelled


def nested(annotation: object) -> type[BaseModel] | None:
    """The model inside an annotation such as ``Preprocessing | None``."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """``(dotted key, type, default, meaning)`` of every field, nested ones too."""
    for name, field in model.model_fields.items():
        inner = nested(field.annotation)
        if inner is not None and not field.description:
            yield from keys(inner, f"{prefix}{name}.")
            continue
        default = "required" if field.is_required() else code(field.get_default(call_default_factory=True))
        yield code(prefix + name), code(spelled(field.annotation)), default, field.description or ""


def reference() -> str:
    """One row per key."""
    from edgetok.recipe import Recipe

    return table(("key", "type", "default", "meaning"), keys(Recipe))


def blocks() -> dict[str, Callable[[], str]]:
    """The block ``recipe keys``."""
    return {"recipe keys": reference}
