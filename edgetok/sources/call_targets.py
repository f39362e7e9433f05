"""Call targets of a serialised graph: registered tensor operations and integer arithmetic, nothing else."""

from __future__ import annotations

from typing import Any

import torch

NAMESPACES = frozenset({"aten", "prims", "edgetok", "quantized_decomposed"})
FORBIDDEN = frozenset({"aten::from_file", "aten::save", "aten::warn"})
HIGHER_ORDER = frozenset(
    {
        *("auto_functionalized", "auto_functionalized_v2", "associative_scan", "cond", "map_impl", "out_dtype"),
        *("scan", "while_loop", "wrap_with_autocast", "wrap_with_set_grad_enabled"),
    }
)
OPERATORS = frozenset(
    {
        *("abs", "add", "and_", "eq", "floordiv", "ge", "getitem", "gt", "le", "lt", "mod", "mul", "ne", "neg"),
        *("not_", "or_", "pos", "pow", "rshift", "sub", "truediv", "xor"),
    }
)
MATH = frozenset({"ceil", "floor", "trunc", "sqrt"})
SYMBOLIC = frozenset(
    {"sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum", "_sym_sqrt"}
)


def check_target(target: Any) -> None:
    """Only registered tensor operations and integer arithmetic may be called.

    Raises:
        ValueError: the target is something else.
    """
    parts = str(target).split(".")
    allowed = {"_operator": OPERATORS, "math": MATH, "torch": SYMBOLIC}
    if len(parts) == 2 and parts[1] in allowed.get(parts[0], ()):
        return
    if parts[:3] == ["torch", "ops", "higher_order"] and len(parts) == 4 and parts[3] in HIGHER_ORDER:
        return
    if parts[:2] == ["torch", "ops"] and len(parts) in (4, 5) and parts[2] in NAMESPACES:
        found = getattr(torch.ops, parts[2])
        for part in parts[3:]:
            found = getattr(found, part, None)
        if isinstance(found, torch._ops.OpOverload) and found._schema.name not in FORBIDDEN:
            return
    raise ValueError(f"It calls {str(target)[:80]!r}, which is no tensor operation edgetok knows.")
