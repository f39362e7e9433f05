"""Symbolic sizes as text: only arithmetic passes, because ``sympify`` evaluates its input as Python."""

from __future__ import annotations

import ast
import re
from typing import Any

FUNCTIONS = frozenset(
    {
        *("Add", "Mul", "Pow", "Max", "Min", "Abs", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not"),
        *("Equality", "Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan"),
        *("FloorDiv", "CleanDiv", "CeilDiv", "IntTrueDiv", "FloatTrueDiv", "Mod", "PythonMod", "ModularIndexing"),
        *("CeilToInt", "FloorToInt", "TruncToInt", "RoundToInt", "TruncToFloat", "ToFloat", "Where", "Identity"),
        *("PowByNatural", "FloatPow", "LShift", "RShift"),
    }
)
POWERS = frozenset({"Pow", "PowByNatural", "FloatPow", "LShift"})
ASSUMPTIONS = frozenset({"integer", "negative", "nonnegative", "positive", "nonzero", "real", "finite"})
MAX_POWERS = 2
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_SYMBOL = re.compile(r"[A-Za-z]([A-Za-z]|_(?!_)){0,59}\d{0,5}(_\d{1,5})?")
_TEXT = re.compile(r"[\w ()+*/%,.<>=!'-]{1,4096}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,3})?")


def check_expression(text: Any) -> None:
    """Only arithmetic of symbols and numbers: ``sympify`` evaluates its input as Python.

    Raises:
        ValueError: the text is something else.
    """
    if not isinstance(text, str) or not _TEXT.fullmatch(text):
        raise ValueError(f"The symbolic size {str(text)[:80]!r} is not a short plain text.")
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, MemoryError) as error:
        raise ValueError(f"The symbolic size {text[:80]!r} is no expression.") from error
    if not _is_arithmetic(tree.body):
        raise ValueError(f"The symbolic size {text[:80]!r} is more than arithmetic.")
    if sum(_is_power(node) for node in ast.walk(tree)) > MAX_POWERS:
        raise ValueError(f"The symbolic size {text[:80]!r} has too many powers.")


def _is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and _is_call(node.func.id, node)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float)) and abs(node.value) < 1 << 64
    if isinstance(node, ast.Name):
        return bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and not _is_small(node.right):
        return False
    plain = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, *_OPERATORS, ast.unaryop, ast.cmpop, ast.boolop)
    return isinstance(node, plain) and all(map(_is_arithmetic, ast.iter_child_nodes(node)))


def _is_call(name: str, call: ast.Call) -> bool:
    """``Symbol('s0', integer=True)``, ``Integer(2)``, ``Float('0.5', precision=53)`` or a function of such."""
    options = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
    if name in ("Symbol", "Integer", "Float"):
        value = getattr(call.args[0], "value", call.args[0]) if len(call.args) == 1 else None
        if name == "Symbol":
            known = set(options) <= ASSUMPTIONS and all(isinstance(option, bool) for option in options.values())
            return known and isinstance(value, str) and bool(_SYMBOL.fullmatch(value))
        if name == "Float":
            return set(options) <= {"precision"} and bool(_NUMBER.fullmatch(str(value)))
        return not options and _is_arithmetic(call.args[0])
    if name not in FUNCTIONS or options:
        return False
    return (name not in POWERS or _is_small(call.args[-1])) and all(map(_is_arithmetic, call.args))


def _is_power(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Pow)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in POWERS


def _is_small(node: ast.AST) -> bool:
    text = ast.unparse(node).removeprefix("Integer(").removesuffix(")")
    return bool(re.fullmatch(r"-?\d{1,2}", text))
