"""``edgetok::packed_matmul`` for ExecuTorch: bytes to codes by table, codes to weights, one product, in every run.

A table is one portable kernel where arithmetic on bytes takes six operations, and what it costs most is exporting them:
every pass of the toolchain goes over every node. Products are ``bmm``, which XNNPACK has for weights that are computed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok.ops.packed import check, middle


def packed_matmul(
    x: Tensor, codes: Tensor, scale: Tensor, zero: Tensor | None, bits: int, columns: int, group: int
) -> Tensor:
    """``x @ w.mT`` for packed ``w``, as :func:`edgetok.ops.packed.packed_matmul` says, unpacked in fp32."""
    check(x, codes, scale, bits, columns, group)
    weight = _weights(codes, scale, zero, bits, columns, group).to(x.dtype)
    *stack, rows, _ = weight.shape
    if x.dim() > 2 and any(size != 1 for size in x.shape[:-2]) and stack:
        return x @ weight.transpose(-1, -2)
    tokens = x.reshape(1, -1, columns)
    product = torch.bmm(tokens, weight.reshape(1, -1, columns).transpose(1, 2))
    if not stack:
        return product.reshape([*x.shape[:-1], rows])
    return product.reshape(tokens.shape[1], -1, rows).transpose(0, 1).reshape([*stack, tokens.shape[1], rows])


def _weights(codes: Tensor, scale: Tensor, zero: Tensor | None, bits: int, columns: int, group: int) -> Tensor:
    """``[..., rows, columns]`` in fp32."""
    groups, width = -(-columns // group), min(group, columns)
    values = _unpacked(codes, bits)
    if values.shape[-1] != groups * width:
        values = torch.nn.functional.pad(values[..., :columns], (0, groups * width - columns))
    grouped = values.reshape([*values.shape[:-1], groups, width])
    shift = middle(bits) if zero is None else zero.to(torch.float32).reshape([*zero.shape, 1])
    made = (grouped - shift) * scale.to(torch.float32).reshape([*scale.shape, 1])
    return made.reshape([*values.shape[:-1], groups * width])[..., :columns]


def _unpacked(codes: Tensor, bits: int) -> Tensor:
    """Bytes ``[..., n]`` as codes ``[..., n * 8 / bits]`` in fp32; of 3 bits as sums of single ones."""
    if bits == 8:
        return codes.to(torch.float32)
    step = 1 if bits == 3 else bits
    shifts = torch.arange(0, 8, step)
    table = (torch.arange(256).reshape(-1, 1) >> shifts & ((1 << step) - 1)).to(torch.float32)
    digits = torch.nn.functional.embedding(codes.to(torch.int32), table)
    if bits != 3:
        return digits.reshape([*codes.shape[:-1], -1])
    places = torch.arange(3).reshape(1, 3, 1)
    powers = torch.bitwise_left_shift(torch.ones_like(places), places).to(torch.float32)
    return torch.bmm(digits.reshape(1, -1, 3), powers).reshape([*codes.shape[:-1], -1])
