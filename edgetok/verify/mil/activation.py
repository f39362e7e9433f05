"""Activations and softmax."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgetok.verify.mil.registry import Operands, op, unary

for _name, _function in {
    "relu": torch.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
}.items():
    op(_name)(unary(_function))


@op("gelu")
def gelu(operands: Operands) -> Tensor:
    """Exact, or one of the approximations by tanh and sigmoid."""
    x, mode = operands["x"], operands.text("mode", "EXACT")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="none" if mode == "EXACT" else "tanh")


@op("leaky_relu")
def leaky_relu(operands: Operands) -> Tensor:
    """``x`` above 0, ``alpha x`` below."""
    return F.leaky_relu(operands["x"], operands.number("alpha", 0.01))


@op("elu")
def elu(operands: Operands) -> Tensor:
    """``x`` above 0, ``alpha (exp(x) - 1)`` below."""
    return F.elu(operands["x"], operands.number("alpha", 1.0))


@op("prelu")
def prelu(operands: Operands) -> Tensor:
    """``x`` above 0, ``alpha x`` below, one ``alpha [C]`` per channel of ``x [B, C, ...]``."""
    return F.prelu(operands["x"], operands["alpha"])


@op("sigmoid_hard")
def sigmoid_hard(operands: Operands) -> Tensor:
    """``clamp(alpha x + beta, 0, 1)``."""
    return (operands["x"] * operands.number("alpha", 0.2) + operands.number("beta", 0.5)).clamp(0, 1)


@op("softmax")
def softmax(operands: Operands) -> Tensor:
    """Along ``axis``."""
    return torch.softmax(operands["x"], operands.integer("axis", -1))
