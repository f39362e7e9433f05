"""Products with matrices whose quantised weights are packed into bytes.

With code ``c``, and scale ``s`` and zero point ``z`` of its group, a weight is ``s * (c - z)``. Codes have 1, 2, 3, 4
or 8 bits and lie along a row as one stream of bits, lowest first: code ``i`` in the bits ``i * bits`` to
``(i + 1) * bits - 1``, bit ``k`` of the stream in bit ``k % 8`` of byte ``k // 8``. A row is padded to a multiple of
eight codes. The last group of a row may be shorter than the others.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn.functional import linear, pad

WIDTHS = (1, 2, 3, 4, 8)


def packed_matmul(
    x: Tensor, codes: Tensor, scale: Tensor, zero: Tensor | None, *, bits: int, columns: int, group: int
) -> Tensor:
    """``x @ w.mT`` with a packed ``w``, or a stack of them; one node in a captured graph.

    Args:
        x: floating ``[..., T, columns]``; of any rank where ``codes`` is one matrix.
        codes: uint8 ``[out, row_bytes(columns, bits)]``, with leading axes in front for a stack.
        scale: floating ``[out, ceil(columns / group)]``, with the same leading axes.
        zero: uint8, shaped like ``scale``; ``None`` where every zero point is ``middle(bits)``.
        bits: 1, 2, 3, 4 or 8.
        columns: weights in a row.
        group: neighbours in a row that share a scale.

    Returns:
        ``[..., T, out]`` in the dtype of ``x``; leading axes are broadcast as ``torch.matmul`` does.

    Raises:
        ValueError: if the sizes do not fit each other.
    """
    return cast(Tensor, PACKED_MATMUL(x, codes, scale, zero, bits, columns, group))


def row_bytes(columns: int, bits: int) -> int:
    """Bytes that a row of ``columns`` codes takes."""
    return bits * -(-columns // 8)


def middle(bits: int) -> float:
    """The zero point where none is stored."""
    return 0.5 if bits == 1 else float(1 << (bits - 1))


def unpack(codes: Tensor, bits: int, columns: int) -> Tensor:
    """Codes ``[..., columns]`` in fp32 out of bytes ``[..., row_bytes(columns, bits)]``.

    By dividing by powers of two and rounding down, which every runtime has and which is exact in fp16 too; few have
    shifts.
    """
    numbers = codes.to(torch.float32)
    if bits == 3:
        digits = _digits(numbers, 1)
        return (digits.reshape(*digits.shape[:-1], -1, 3) * _powers(3, 1, digits)).sum(-1)[..., :columns]
    return (numbers if bits == 8 else _digits(numbers, bits))[..., :columns]


def _digits(numbers: Tensor, bits: int) -> Tensor:
    """Every byte as its digits to the base ``2 ** bits``, lowest first: ``[..., n]`` to ``[..., n * 8 / bits]``."""
    rest = (numbers.unsqueeze(-1) / _powers(8, bits, numbers)).floor()
    base = float(1 << bits)
    return (rest - base * (rest * (1 / base)).floor()).reshape(*numbers.shape[:-1], -1)


def _powers(stop: int, step: int, like: Tensor) -> Tensor:
    """``2 ** 0, 2 ** step, ...`` below ``2 ** stop``, made of integers and so exact."""
    exponents = torch.arange(0, stop, step, device=like.device)
    return torch.bitwise_left_shift(torch.ones_like(exponents), exponents).to(like.dtype)


def dequantise(
    codes: Tensor, scale: Tensor, zero: Tensor | None, bits: int, columns: int, group: int, dtype: torch.dtype
) -> Tensor:
    """The matrices ``[..., out, columns]`` in ``dtype``, computed in fp32."""
    groups = -(-columns // group)
    width = min(group, columns)
    values = _filled(unpack(codes, bits, columns), groups * width)
    grouped = values.reshape(*values.shape[:-1], groups, width)
    shift = middle(bits) if zero is None else zero.to(torch.float32).unsqueeze(-1)
    weights: Tensor = (grouped - shift) * scale.to(torch.float32).unsqueeze(-1)
    return weights.flatten(-2)[..., :columns].to(dtype)


def _filled(values: Tensor, columns: int) -> Tensor:
    """Rows with zeros behind them, to ``columns`` values."""
    return pad(values, (0, columns - values.shape[-1])) if columns > values.shape[-1] else values


def unpacked_matmul(
    x: Tensor, codes: Tensor, scale: Tensor, zero: Tensor | None, bits: int, columns: int, group: int
) -> Tensor:
    """The reference, in plain operations: the whole matrix is unpacked, then multiplied with."""
    check(x, codes, scale, bits, columns, group)
    weight = dequantise(codes, scale, zero, bits, columns, group, x.dtype)
    return linear(x, weight) if codes.dim() == 2 else x @ weight.transpose(-1, -2)


def check(x: Tensor, codes: Tensor, scale: Tensor, bits: int, columns: int, group: int) -> None:
    """Refuse sizes that do not fit each other.

    Raises:
        ValueError: if they do not.
    """
    if bits not in WIDTHS or group < 1:
        raise ValueError(f"widths are {WIDTHS} and groups positive, not {bits} and {group}")
    if x.shape[-1] != columns or codes.shape[-1] != row_bytes(columns, bits):
        raise ValueError(f"rows of {x.shape[-1]} and {codes.shape[-1]} bytes for {columns} codes of {bits} bits")
    if scale.shape != (*codes.shape[:-1], -(-columns // group)):
        raise ValueError(f"scales {tuple(scale.shape)} for codes {tuple(codes.shape)} in groups of {group}")


def _fake(x: Tensor, codes: Tensor, scale: Tensor, zero: Tensor | None, bits: int, columns: int, group: int) -> Tensor:
    check(x, codes, scale, bits, columns, group)
    if codes.dim() == 2:
        return x.new_empty((*x.shape[:-1], codes.shape[0]))
    return x.new_empty((*x.shape[:-1], 1)) @ codes.new_empty((*codes.shape[:-2], 1, codes.shape[-2]), dtype=x.dtype)


def _context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, codes, scale, zero, *ctx.layout = inputs
    ctx.shape = x.shape
    ctx.save_for_backward(codes, scale, zero)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Of ``x``; what is packed is constant."""
    codes, scale, zero = ctx.saved_tensors
    bits, columns, group = ctx.layout
    weight = dequantise(codes, scale, zero, bits, columns, group, grad.dtype)
    return ((grad @ weight).sum_to_size(ctx.shape), *[None] * 6)


def _register() -> OpOverload:
    schema = "(Tensor x, Tensor codes, Tensor scale, Tensor? zero, int bits, int columns, int group) -> Tensor"
    definition = torch.library.custom_op("edgetok::packed_matmul", unpacked_matmul, mutates_args=(), schema=schema)
    definition.register_fake(_fake)
    definition.register_autograd(_backward, setup_context=_context)
    overload: OpOverload = torch.ops.edgetok.packed_matmul.default
    return overload


PACKED_MATMUL = _register()
