"""Recipes as YAML files, with ``key=value`` overrides; every mistake is told with its line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from edgetok.errors import BadRecipe
from edgetok.options import parse_value
from edgetok.recipe import Recipe, read_uses
from edgetok.recipe_errors import Loc, explain

_LARGEST = 1024 * 1024
_NOT_PLANNED = frozenset({"parity", "eval", "bench", "output", "plan_digest"})
"""Keys that do not change the plan: overriding another one drops the recorded digest."""


def load_recipe(path: Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """Read a recipe file, changed by overrides such as ``plugins.tome.r=12`` or ``bench.threads=2``.

    Args:
        path: a YAML file.
        overrides: ``key=value`` texts, or values by dotted key.

    Raises:
        BadRecipe: the file or an override is no recipe; with the line, and the nearest key for unknown ones.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise BadRecipe(f"recipe {path} is too large", why=f"it has more than {_LARGEST} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadRecipe(f"recipe {path} cannot be read", why=str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise BadRecipe(f"recipe {path} is not UTF-8 text", why=str(error)) from error
    data, lines = _parse(text, str(path))
    changes = overrides if isinstance(overrides, Mapping) else dict(map(parse_override, overrides))
    return make_recipe(data, changes, source=str(path), lines=lines)


def make_recipe(
    data: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    source: str = "recipe",
    lines: Mapping[Loc, int] | None = None,
) -> Recipe:
    """Validate plain data as a recipe after applying overrides by dotted key.

    Raises:
        BadRecipe: see ``load_recipe``.
    """
    merged = dict(data)
    for key, value in (overrides or {}).items():
        _apply(merged, key, value)
        if key.partition(".")[0] not in _NOT_PLANNED:
            merged.pop("plan_digest", None)
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        raise explain(error, source, lines or {}, merged, overrides or {}) from error


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, every field written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def is_override(text: str) -> bool:
    """Whether an argument looks like ``key=value`` with a dotted key."""
    return re.match(r"[a-z_]+(\.[A-Za-z0-9_-]+)*=", text) is not None


def parse_override(text: str) -> tuple[str, Any]:
    """``"bench.threads=2"`` -> ``("bench.threads", 2)``.

    Raises:
        BadRecipe: there is no ``=``, or the key is no dotted name.
    """
    if not is_override(text):
        raise BadRecipe(f"{text!r} is no override", hint="write KEY=VALUE, e.g. bench.threads=2 or plugins.tome.r=12")
    key, _, value = text.partition("=")
    return key, parse_value(value)


def _apply(data: dict[str, Any], key: str, value: Any) -> None:
    first, *rest = key.split(".")
    if first == "plugins" and rest:
        data["plugins"] = _plugin_override(data.get("plugins", []), key, rest, value)
    elif not rest:
        data[first] = value
    elif isinstance(data.get(first) or {}, Mapping):
        data[first] = dict(data.get(first) or {})
        _apply(data[first], ".".join(rest), value)
    else:
        raise BadRecipe(f"override {key!r} goes into {first!r}, which holds no keys")


def _plugin_override(plugins: Any, key: str, rest: Sequence[str], value: Any) -> list[Any]:
    uses = [dict(use) if isinstance(use, Mapping) else use for use in read_uses(plugins)]
    named = {use.get("name"): use for use in uses if isinstance(use, dict)}
    if len(rest) != 2 or rest[0] not in named:
        known = ", ".join(f"plugins.{name}.OPTION" for name in named) or "it has no plugins"
        raise BadRecipe(f"override {key!r} names no option of a plugin in the recipe", hint=f"possible: {known}")
    use = named[rest[0]]
    use["options"] = {**(use.get("options") or {}), rest[1]: value}
    return uses


def _parse(text: str, source: str) -> tuple[dict[str, Any], dict[Loc, int]]:
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise BadRecipe(f"{source} uses YAML aliases", hint="write the values out")
        lines: dict[Loc, int] = {}
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _locate(root, (), lines, source)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise BadRecipe(f"{source} is not YAML", why=f"{where}{error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadRecipe(f"{source} is not YAML", why=str(error).splitlines()[0]) from error
    if not isinstance(data, dict):
        raise BadRecipe(f"{source} is no recipe", why=f"it holds {type(data).__name__}, not keys and values")
    return data, lines


def _locate(node: yaml.Node | None, loc: Loc, lines: dict[Loc, int], source: str) -> None:
    """Note the line of every key and item; refuse a key written twice, of which YAML would keep the last."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            at = (*loc, str(key.value))
            if at in lines:
                raise BadRecipe(
                    f"key {key.value!r} is written twice in {source}",
                    why=f"in lines {lines[at]} and {key.start_mark.line + 1}",
                )
            lines[at] = key.start_mark.line + 1
            _locate(value, at, lines, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*loc, index)] = item.start_mark.line + 1
            _locate(item, (*loc, index), lines, source)
