"""Codes of 1, 2, 3, 4 or 8 bits in bytes, and out of them again.

Eight codes are ``bits`` bytes: one stream of bits, lowest first. Code ``i`` of a row lies in the bits ``i * bits`` to
``(i + 1) * bits - 1`` of the row's stream, and bit ``k`` of the stream is bit ``k % 8`` of byte ``k // 8``. So a 4-bit
row has its even codes in the low halves of its bytes, as onnxruntime's MatMulNBits wants them, and eight 3-bit codes
are a little-endian number of 24 bits. Rows are padded with zeros to a multiple of eight codes.
"""

from __future__ import annotations

import torch
from torch import Tensor

WIDTHS = (1, 2, 3, 4, 8)


def row_bytes(count: int, bits: int) -> int:
    """Bytes that ``count`` codes of ``bits`` bits take."""
    return bits * -(-count // 8)


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """``[..., n]`` uint8 codes below ``2 ** bits`` as ``[..., row_bytes(n, bits)]`` uint8.

    Raises:
        ValueError: ``bits`` is no width there is, or a code does not fit.
    """
    per_unit, unit = _unit(bits)
    if codes.dtype != torch.uint8 or (codes.numel() and int(codes.max()) >= 1 << bits):
        raise ValueError(f"codes of {bits} bits are uint8 below {1 << bits}")
    padded = torch.nn.functional.pad(codes, (0, -codes.shape[-1] % 8))
    words = _join(padded, per_unit, bits)
    return _split(words, unit, 8).to(torch.uint8)


def unpack_codes(packed: Tensor, bits: int, count: int) -> Tensor:
    """The first ``count`` codes of each row: ``[..., row_bytes(count, bits)]`` uint8 to ``[..., count]`` uint8.

    Raises:
        ValueError: the rows have another length.
    """
    per_unit, unit = _unit(bits)
    if packed.dtype != torch.uint8 or packed.shape[-1] != row_bytes(count, bits):
        raise ValueError(f"{count} codes of {bits} bits are {row_bytes(count, bits)} bytes, not {packed.shape[-1]}")
    words = packed if unit == 1 else _join(packed, unit, 8)
    return _split(words, per_unit, bits).to(torch.uint8)[..., :count]


def _join(values: Tensor, count: int, bits: int) -> Tensor:
    """Every ``count`` neighbours of ``bits`` bits as one int32, the first lowest."""
    shifts = torch.arange(0, count * bits, bits, device=values.device, dtype=torch.int32)
    neighbours = values.reshape(*values.shape[:-1], -1, count).int()
    return (neighbours << shifts).sum(-1, dtype=torch.int32)


def _split(words: Tensor, count: int, bits: int) -> Tensor:
    """The reverse, in the dtype of ``words``."""
    shifts = torch.arange(0, count * bits, bits, device=words.device, dtype=torch.int32).to(words.dtype)
    return (words[..., None] >> shifts & ((1 << bits) - 1)).flatten(-2)


def _unit(bits: int) -> tuple[int, int]:
    """The least number of codes that fill whole bytes, and of those bytes."""
    if bits not in WIDTHS:
        raise ValueError(f"widths are {WIDTHS}, not {bits}")
    return (8, 3) if bits == 3 else (8 // bits, 1)
