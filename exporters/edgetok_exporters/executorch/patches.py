"""Patches of a video as a matrix product: ExecuTorch has no kernel for convolutions over three axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Triple = int | Sequence[int]


def patches(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Triple = 1,
    padding: Triple = 0,
    dilation: Triple = 1,
    groups: int = 1,
) -> Tensor:
    """``aten.conv3d`` of patches that do not overlap: ``(B, C, T, H, W) -> (B, D, T/t, H/h, W/w)``; others stay."""
    kernel = tuple(weight.shape[2:])
    apart = _triple(stride) == kernel and _triple(padding) == (0, 0, 0) and groups == 1
    if not apart or x.dim() != 5 or (_triple(dilation) != (1, 1, 1) and max(kernel) > 1):
        return NotImplemented  # type: ignore[no-any-return]
    counts = [size // side for size, side in zip(x.shape[2:], kernel, strict=True)]
    for axis, (count, side) in enumerate(zip(counts, kernel, strict=True), 2):
        x = x.narrow(axis, 0, count * side) if x.shape[axis] != count * side else x
    (t, h, w), (a, b, c) = counts, kernel
    inner = x.reshape(-1, b, w, c).permute(0, 2, 1, 3)
    rows = inner.reshape(x.shape[0], x.shape[1], t, a, h * w, b * c).permute(0, 2, 4, 1, 3, 5)
    made = F.linear(rows.reshape(x.shape[0], t * h * w, -1), weight.reshape(weight.shape[0], -1), bias)
    return made.transpose(1, 2).reshape(x.shape[0], weight.shape[0], t, h, w)


def _triple(value: Triple) -> tuple[int, ...]:
    given = (value,) if isinstance(value, int) else tuple(value)
    return given * 3 if len(given) == 1 else given


TABLE = {torch.ops.aten.conv3d.default: patches}
