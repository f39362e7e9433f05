"""Products: matmul, linear, convolution, attention."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil.registry import Operands, op


@op("linear")
def linear(operands: Operands) -> Tensor:
    """``x @ weight^T + bias``."""
    return F.linear(operands["x"], operands["weight"], operands.maybe("bias"))


@op("matmul")
def matmul(operands: Operands) -> Tensor:
    """``x @ y``, either transposed."""
    x, y = operands["x"], operands["y"]
    x = x.transpose(-1, -2) if operands.flag("transpose_x") else x
    return x @ (y.transpose(-1, -2) if operands.flag("transpose_y") else y)


@op("einsum")
def einsum(operands: Operands) -> Tensor:
    """By its equation."""
    return torch.einsum(operands.text("equation"), *operands.tensors("values"))


@op("conv")
def conv(operands: Operands) -> Tensor:
    """Convolution in 1 to 3 dimensions of ``x [B, C, ...]`` with ``weight [O, C / groups, ...]``."""
    x, weight = operands["x"], operands["weight"]
    rank = x.dim() - 2
    strides, dilations = operands.numbers("strides", [1] * rank), operands.numbers("dilations", [1] * rank)
    spans = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    before_after = padding(operands, x.shape[2:], spans, strides)
    function = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    padded = F.pad(x, before_after) if any(before_after) else x
    result: Tensor = function(
        padded, weight, operands.maybe("bias"), strides, 0, dilations, operands.integer("groups", 1)
    )
    return result


def padding(operands: Operands, sizes: torch.Size, spans: list[int], strides: list[int]) -> list[int]:
    """What ``pad_type`` and ``pad`` add, for ``F.pad``: last axis first, before and after."""
    mode = operands.text("pad_type", "valid")
    rank = len(spans)
    if mode == "valid":
        return [0] * (2 * rank)
    if mode == "custom":
        pads = operands.numbers("pad")
        return [n for axis in reversed(range(rank)) for n in pads[2 * axis : 2 * axis + 2]]
    if mode not in ("same", "same_lower"):
        raise RuntimeFailed(f"The MIL interpreter does not know the padding {mode!r} of {operands.kind}.")
    totals = [
        max((-(-size // stride) - 1) * stride + span - size, 0)
        for size, span, stride in zip(sizes, spans, strides, strict=True)
    ]
    less = [(total // 2, total - total // 2) for total in totals]
    return [n for pair in reversed(less) for n in (pair if mode == "same" else pair[::-1])]


@op("scaled_dot_product_attention")
def attention(operands: Operands) -> Tensor:
    """``softmax(query @ key^T / sqrt(d) + mask) @ value``."""
    return F.scaled_dot_product_attention(
        operands["query"], operands["key"], operands["value"], attn_mask=operands.maybe("attn_mask")
    )
