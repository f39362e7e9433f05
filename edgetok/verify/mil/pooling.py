"""Pooling over the spatial axes of ``x [B, C, ...]``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil.linear import padding
from edgetok.verify.mil.registry import Operands, op


@op("max_pool")
def max_pool(operands: Operands) -> Tensor:
    """The largest entry under each window; padding counts as nothing."""
    padded, kernel, strides = _windows(operands, -torch.inf)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(kernel) - 1]
    result: Tensor = function(padded, kernel, strides)
    return result


@op("avg_pool")
def avg_pool(operands: Operands) -> Tensor:
    """The mean under each window; whether padding counts is asked for."""
    padded, kernel, strides = _windows(operands, 0.0)
    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(kernel) - 1]
    made: Tensor = function(padded, kernel, strides)
    if not operands.flag("exclude_padding_from_average"):
        return made
    ones = Operands("avg_pool", {**operands.values, "x": torch.ones_like(operands["x"])})
    return made / function(_windows(ones, 0.0)[0], kernel, strides)


def _windows(operands: Operands, fill: float) -> tuple[Tensor, list[int], list[int]]:
    x, kernel = operands["x"], operands.numbers("kernel_sizes")
    strides = operands.numbers("strides", [1] * len(kernel))
    if operands.flag("ceil_mode"):
        raise RuntimeFailed(f"The MIL interpreter does not round sizes of {operands.kind} up.", why="ceil_mode is set")
    return F.pad(x, padding(operands, x.shape[2:], kernel, strides), value=fill), kernel, strides
