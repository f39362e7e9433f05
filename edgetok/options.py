"""Options as people type them: ``tome:r=8,prop_attn=true`` to values, and values to a validated plugin."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from edgetok.errors import BadOption
from edgetok.suggest import first_mistake, nearest

M = TypeVar("M", bound=BaseModel)

_WORDS: Mapping[str, object] = {"true": True, "false": False, "null": None, "none": None}
_PAIRS = {"(": ")", "[": "]"}


def parse_uses(text: str) -> dict[str, dict[str, Any]]:
    """Read ``name:key=value,key=value,name`` as options by plugin name.

    A comma separates both options and plugins: a piece without ``=``, or with ``:`` before it, starts a plugin.

    Raises:
        BadOption: brackets do not match, a plugin repeats, or an option comes before any plugin.
    """
    uses: dict[str, dict[str, Any]] = {}
    current = ""
    for piece in split(text):
        head, colon, rest = piece.partition(":")
        if "=" not in head:
            current = head.strip()
            _start(uses, current, text)
            piece = rest if colon else ""
        if piece:
            key, value = _assignment(piece, text, current)
            if key in uses[current]:
                raise BadOption(f"option {key!r} of {current!r} is given twice", why=f"in {text!r}")
            uses[current][key] = value
    return uses


def _start(uses: dict[str, dict[str, Any]], name: str, text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise BadOption(
            f"{name!r} is no plugin name", why=f"in {text!r}", hint="write NAME or NAME:OPTION=VALUE,OPTION=VALUE"
        )
    if name in uses:
        raise BadOption(f"plugin {name!r} is given twice", why=f"in {text!r}", hint="merge its options into one")
    uses[name] = {}


def _assignment(piece: str, text: str, current: str) -> tuple[str, Any]:
    key, equals, value = piece.partition("=")
    if not (equals and current and key.strip().isidentifier()):
        raise BadOption(
            f"{piece!r} is no option", why=f"in {text!r}", hint="write NAME:OPTION=VALUE,OPTION=VALUE, e.g. tome:r=8"
        )
    return key.strip(), parse_value(value)


def parse_value(text: str) -> Any:
    """Read one value: ``8``, ``-1.5``, ``true``, ``null``, ``[8,8,4]``, ``(8,-1.0)``, ``'quoted'`` or a bare word."""
    text = text.strip()
    if text[:1] in _PAIRS and text.endswith(_PAIRS[text[0]]):
        items = [parse_value(item) for item in split(text[1:-1])]
        return tuple(items) if text[0] == "(" else items
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, str | int | float) else text


def split(text: str) -> list[str]:
    """Split at commas that are in no bracket.

    Raises:
        BadOption: brackets do not match.
    """
    parts, depth = [""], []
    for char in text:
        if char in _PAIRS:
            depth.append(_PAIRS[char])
        elif char in _PAIRS.values() and (not depth or depth.pop() != char):
            raise BadOption(f"unmatched {char!r} in {text!r}", hint="write lists as [8,8,4] and tuples as (8,-1.0)")
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    if depth:
        raise BadOption(f"missing {depth[-1]!r} in {text!r}", hint="write lists as [8,8,4] and tuples as (8,-1.0)")
    return [part.strip() for part in parts if part.strip()]


def build(model: type[M], options: Mapping[str, Any], owner: str) -> M:
    """Validate options against the fields of ``model``; ``owner`` is who they belong to, e.g. ``"plugin 'tome'"``.

    Raises:
        BadOption: naming the first bad option, its value, and every valid option with type and default.
    """
    for name, value in options.items():
        field = model.model_fields.get(name)
        if field and isinstance(value, bool) and not _takes_bool(field.annotation):
            raise _bad_option(
                model, {"loc": (name,), "type": "bool", "input": value, "msg": "true is no number"}, owner
            )
    try:
        return model(**options)
    except ValidationError as error:
        raise _bad_option(model, first_mistake(error), owner) from error


def _takes_bool(annotation: Any) -> bool:
    """Pydantic reads true as 1 wherever a number is wanted; people do not mean that."""
    return annotation in (bool, Any) or any(map(_takes_bool, get_args(annotation)))


def _bad_option(model: type[BaseModel], error: Mapping[str, Any], owner: str) -> BadOption:
    where = str(error["loc"][0]) if error["loc"] else ""
    valid = "; ".join(describe(model)) or "none"
    if error["type"] == "extra_forbidden":
        near = nearest(where, model.model_fields)
        return BadOption(
            f"{owner} has no option {where!r}",
            why=f"it was given {where}={error['input']!r}",
            hint=(f"did you mean {near!r}? " if near else "") + f"valid options: {valid}",
        )
    if error["type"] == "missing":
        what = f"option {where!r} of {owner} is missing"
    else:
        what = f"option {where!r} of {owner} cannot be {error['input']!r}" if where else f"{owner} refuses its options"
    return BadOption(what, why=str(error["msg"]).removeprefix("Value error, "), hint=f"valid options: {valid}")


def describe(model: type[BaseModel]) -> list[str]:
    """Each option as ``name: type = default``."""
    lines = []
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else f" = {field.get_default(call_default_factory=True)!r}"
        lines.append(f"{name}: {type_name(field.annotation)}{default}")
    return lines


def type_name(annotation: Any) -> str:
    """A type as a person writes it: ``int | tuple[int, ...] | 'auto'``."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(args[0])
    if origin is Literal:
        return " | ".join(map(repr, args))
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(map(type_name, args)))
    if annotation in (None, NoneType):
        return "null"
    if annotation is Ellipsis:
        return "..."
    name = getattr(origin or annotation, "__name__", str(annotation))
    return f"{name}[{', '.join(map(type_name, args))}]" if args else str(name)
