"""The graph inside a ``.pt2``: only tensor operations, plain names and integer arithmetic pass."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from edgetok.errors import UnsafeModel
from edgetok.sources.arithmetic import check_expression
from edgetok.sources.call_targets import check_target

TREES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})
_TRANSFORMERS_OUTPUT = re.compile(r"(transformers\.(modeling_outputs|models\.\w+\.modeling_\w+))\.[A-Z]\w*")
_NAME = re.compile(r"[\w.@-]{0,512}")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w{0,255}")
_NAME_KEYS = frozenset(
    {"name", "parameter_name", "buffer_name", "tensor_constant_name", "user_input_name", "as_name", "fqn"}
)


def check_program(file: str, program: Any) -> None:
    """Refuse a serialised program whose text could become code when it is loaded, printed or run.

    Args:
        file: its name, for messages.
        program: the parsed ``models/NAME.json``.

    Raises:
        UnsafeModel: a call target that is no tensor operation, a custom object, a name that is no identifier, a
            symbolic expression that is no arithmetic, or a container of an unknown type.
    """
    graph_module = program.get("graph_module", {}) if isinstance(program, dict) else {}
    try:
        _walk(program)
        for symbol in program.get("range_constraints", {}):
            check_expression(symbol)
        for entry in graph_module.get("module_call_graph", []):
            signature = entry.get("signature") or {}
            _check_tree(signature.get("in_spec"), identifiers=True)
            _check_tree(signature.get("out_spec"), identifiers=False)
            _all(_check_identifier, signature.get("forward_arg_names") or [])
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UnsafeModel(
            f"{file} is refused: its graph holds more than tensor operations.",
            why=str(error),
            hint="Export it again with torch.export.save, or write package.module:factory.",
        ) from error


def output_modules(program: Any) -> set[str]:
    """The transformers modules that define a checked program's output containers, to be imported before loading."""
    specs = [(entry.get("signature") or {}).get("out_spec") for entry in program["graph_module"]["module_call_graph"]]
    return {match.group(1) for spec in specs if spec for match in _TRANSFORMERS_OUTPUT.finditer(spec)}


def _all(check: Callable[[Any], None], values: Any) -> None:
    for value in values:
        check(value)


def _walk(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _walk(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_entry(name, item)
            _walk(item)


def _check_entry(key: str, value: Any) -> None:
    if not _NAME.fullmatch(key):
        check_expression(key)
    if key in ("target", "as_operator"):
        check_target(value)
    elif key == "expr_str":
        check_expression(value)
    elif key in _NAME_KEYS and not _is_name(value):
        raise ValueError(f"The name {str(value)[:80]!r} is no identifier.")
    elif key in ("as_custom_obj", "custom_obj", "class_fqn") or (key == "custom_obj_values" and value):
        raise ValueError("It carries a custom object.")


def _is_name(value: Any) -> bool:
    """Names are plain text; a tensor may itself be called ``name`` and then has a table."""
    return value is None or isinstance(value, dict) or (isinstance(value, str) and bool(_NAME.fullmatch(value)))


def _check_identifier(value: Any) -> None:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise ValueError(f"The name {str(value)[:80]!r} is no identifier.")


def _check_tree(text: Any, *, identifiers: bool) -> None:
    if text is None:
        return
    protocol, tree = json.loads(text)
    if protocol != 1:
        raise ValueError(f"A container description has protocol {protocol!r}.")
    _check_node(tree, identifiers)


def _check_node(tree: Mapping[str, Any], identifiers: bool) -> None:
    kind = tree["type"]
    if kind not in TREES and not (isinstance(kind, str) and _TRANSFORMERS_OUTPUT.fullmatch(kind)):
        raise ValueError(f"It holds a container of type {str(kind)[:80]!r}.")
    context = tree["context"]
    keys = json.loads(context) if isinstance(context, str) else context
    for name in keys if isinstance(keys, list) else [] if keys is None else [keys]:
        if isinstance(name, str) and not (_IDENTIFIER if identifiers else _NAME).fullmatch(name):
            raise ValueError(f"The name {name[:80]!r} is no identifier.")
        if not isinstance(name, (str, int)):
            raise ValueError(f"A container has a key of type {type(name).__name__}.")
    for child in tree["children_spec"]:
        _check_node(child, identifiers)
