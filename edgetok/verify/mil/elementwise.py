"""Element by element: arithmetic, comparison, logic, casts, selection."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil.formats import BY_NAME
from edgetok.verify.mil.registry import Operands, binary, op, unary

_WRAP = {"int8": (8, True), "int16": (16, True), "uint8": (8, False), "uint16": (16, False)}

_BINARY: dict[str, Any] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "floor_div": torch.floor_divide,
    "mod": torch.remainder,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
}
_UNARY: dict[str, Any] = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "floor": torch.floor,
    "identity": torch.clone,
    "logical_not": torch.logical_not,
    "round": torch.round,
    "sign": torch.sign,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
}
for _name, _function in _BINARY.items():
    op(_name)(binary(_function))
for _name, _function in _UNARY.items():
    op(_name)(unary(_function))


@op("real_div")
def real_div(operands: Operands) -> Tensor:
    """``x / y``; integers divide towards zero."""
    x, y = operands["x"], operands["y"]
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


@op("log")
def log(operands: Operands) -> Tensor:
    """``log(x + epsilon)``."""
    return torch.log(operands["x"] + operands.number("epsilon", 1e-45))


@op("rsqrt")
def rsqrt(operands: Operands) -> Tensor:
    """``1 / sqrt(x + epsilon)``."""
    return torch.rsqrt(operands["x"] + operands.number("epsilon", 1e-12))


@op("inverse")
def inverse(operands: Operands) -> Tensor:
    """``1 / (x + epsilon)``."""
    return 1 / (operands["x"] + operands.number("epsilon", 1e-4))


@op("clip")
def clip(operands: Operands) -> Tensor:
    """``min(max(x, alpha), beta)``."""
    return operands["x"].clamp(operands.number("alpha"), operands.number("beta"))


@op("threshold")
def threshold(operands: Operands) -> Tensor:
    """``max(x, alpha)``."""
    return operands["x"].clamp(min=operands.number("alpha"))


@op("select")
def select(operands: Operands) -> Tensor:
    """``a`` where ``cond``, else ``b``."""
    return torch.where(operands["cond"].bool(), operands["a"], operands["b"])


@op("cast")
def cast(operands: Operands) -> Tensor:
    """``x`` as another type: towards zero for integers, which wrap around; not zero for bool."""
    name = operands.text("dtype")
    if name not in BY_NAME:
        raise RuntimeFailed(f"The ML program casts to {name!r}, which the MIL interpreter does not know.")
    value = operands["x"]
    if name in _WRAP:
        bits, signed = _WRAP[name]
        value = value.to(torch.int64) & (2**bits - 1)
        return torch.where(value >= 2 ** (bits - 1), value - 2**bits, value) if signed else value
    return BY_NAME[name].rounded(value)
