"""Normalisations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgetok.verify.mil.registry import Operands, op


def _per_channel(value: Tensor, x: Tensor) -> Tensor:
    return value.reshape(1, -1, *[1] * (x.dim() - 2))


@op("layer_norm")
def layer_norm(operands: Operands) -> Tensor:
    """Mean 0, variance 1 over ``axes``; then ``gamma`` and ``beta``, which have the shape of those axes."""
    x = operands["x"]
    axes = [axis % x.dim() for axis in operands.numbers("axes", range(1, x.dim()))]
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    variance = centred.square().mean(axes, keepdim=True)
    made = centred * torch.rsqrt(variance + operands.number("epsilon", 1e-5))
    shape = [x.shape[axis] if axis in axes else 1 for axis in range(x.dim())]
    if "gamma" in operands:
        made = made * operands["gamma"].reshape(shape)
    return made + operands["beta"].reshape(shape) if "beta" in operands else made


@op("batch_norm")
def batch_norm(operands: Operands) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` per channel of ``x [B, C, ...]``."""
    return F.batch_norm(
        operands["x"],
        operands["mean"],
        operands["variance"],
        operands.maybe("gamma"),
        operands.maybe("beta"),
        eps=operands.number("epsilon", 1e-5),
    )


@op("instance_norm")
def instance_norm(operands: Operands) -> Tensor:
    """Mean 0, variance 1 per sample and channel of ``x [B, C, ...]``."""
    return F.instance_norm(
        operands["x"], weight=operands.maybe("gamma"), bias=operands.maybe("beta"), eps=operands.number("epsilon", 1e-5)
    )


@op("l2_norm")
def l2_norm(operands: Operands) -> Tensor:
    """``x / sqrt(sum(x^2) + epsilon)`` over the last three axes."""
    x = operands["x"]
    power = x.square().sum(tuple(range(max(x.dim() - 3, 0), x.dim())), keepdim=True)
    return x * torch.rsqrt(power + operands.number("epsilon", 1e-6))
