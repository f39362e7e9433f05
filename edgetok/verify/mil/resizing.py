"""Enlarging the last two axes of ``x [..., H, W]``."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil.registry import Operands, op


def _factors(operands: Operands) -> tuple[float, float]:
    return operands.number("scale_factor_height", 1.0), operands.number("scale_factor_width", 1.0)


@op("upsample_nearest_neighbor")
def upsample_nearest_neighbor(operands: Operands) -> Tensor:
    """Every entry as often as the factors say."""
    tall, wide = _factors(operands)
    if not tall.is_integer() or not wide.is_integer():
        raise RuntimeFailed(
            "The MIL interpreter enlarges by whole factors only.", why=f"{operands.kind} by {tall:g} and {wide:g}"
        )
    return operands["x"].repeat_interleave(int(tall), -2).repeat_interleave(int(wide), -1)


@op("upsample_bilinear")
def upsample_bilinear(operands: Operands) -> Tensor:
    """Between the nearest four entries; the grid is that of the new size, which is rounded down."""
    x = operands["x"]
    size = [math.floor(side * factor) for side, factor in zip(x.shape[-2:], _factors(operands), strict=True)]
    planes = x.reshape(-1, 1, *x.shape[-2:])
    corners = operands.flag("align_corners", default=True)
    made: Tensor = F.interpolate(planes, size=size, mode="bilinear", align_corners=corners)
    return made.reshape(*x.shape[:-2], *size)
