"""What is wrong with a recipe, told to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from edgetok.errors import BadRecipe
from edgetok.model import Preprocessing
from edgetok.recipe import BenchSettings, EvalSettings, ParitySettings, PluginUse, Recipe, read_uses
from edgetok.suggest import first_mistake, nearest

Loc = tuple[str | int, ...]


def explain(
    error: ValidationError, source: str, lines: Mapping[Loc, int], data: Any, overrides: Iterable[str]
) -> BadRecipe:
    """The first mistake of a recipe, for people: its line or override, and the nearest key for an unknown one.

    Args:
        error: what pydantic found in ``data``.
        source: name of the file.
        lines: line of each key and item, by location.
        data: the recipe as plain data, after overrides.
        overrides: dotted keys that were overridden.
    """
    first = first_mistake(error)
    loc: Loc = first["loc"]
    key = ".".join(str(_plugin_name(data, loc) if loc[:i] == ("plugins",) else part) for i, part in enumerate(loc))
    overridden = [o for o in overrides if key == o or key.startswith(f"{o}.")]
    line = next((lines[loc[:n]] for n in range(len(loc), 0, -1) if loc[:n] in lines), None)
    where = f"override {overridden[0]}" if overridden else f"line {line}" if line else source
    if first["type"] == "extra_forbidden":
        fields = _fields(loc[:-1])
        near = nearest(str(loc[-1]), fields)
        hint = (f"did you mean {near!r}? " if near else "") + f"known keys: {', '.join(fields)}"
        return BadRecipe(f"{source} has the unknown key {key!r}", why=where, hint=hint)
    if first["type"] == "missing":
        return BadRecipe(f"{source} lacks {key!r}", why=where, hint=_description(loc))
    what = f"{source}: {key!r} cannot be {first['input']!r}" if loc else f"{source} is no recipe"
    return BadRecipe(what, why=f"{where}: {first['msg'].removeprefix('Value error, ')}", hint=_description(loc))


def _plugin_name(data: Any, loc: Loc) -> str | int:
    plugins = read_uses(data["plugins"])
    return plugins[loc[1]].get("name", loc[1]) if isinstance(plugins[loc[1]], Mapping) else loc[1]


def _model_at(loc: Loc) -> type[BaseModel] | None:
    """The recipe part that holds the keys at ``loc``."""
    parts: dict[str, type[BaseModel]] = {"parity": ParitySettings, "bench": BenchSettings}
    parts |= {"eval": EvalSettings, "eval.preprocessing": Preprocessing, "plugins": PluginUse, "": Recipe}
    return parts.get(".".join(part for part in loc if isinstance(part, str)))


def _fields(loc: Loc) -> list[str]:
    model = _model_at(loc)
    return list(model.model_fields) if model else []


def _description(loc: Loc) -> str:
    model = _model_at(loc[:-1]) if loc else None
    field = model.model_fields.get(str(loc[-1])) if model else None
    return (field.description or "") if field else ""
