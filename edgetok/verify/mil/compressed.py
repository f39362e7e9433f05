"""Compressed weights: what Core ML expands at load time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil.formats import BY_NAME, unpacked
from edgetok.verify.mil.registry import Operands, op


@op("constexpr_blockwise_shift_scale")
def blockwise_shift_scale(operands: Operands) -> Tensor:
    """``scale * (data - offset)``, one scale and offset per block of ``data``."""
    data, scale = operands["data"].float(), operands["scale"]
    if "offset" in operands:
        data = data - _spread(operands["offset"].float(), data.shape)
    return data * _spread(scale, data.shape)


def _spread(value: Tensor, shape: torch.Size) -> Tensor:
    """Entries repeated to ``shape``, whose sizes are multiples."""
    for axis, size in enumerate(shape):
        if size % value.shape[axis]:
            raise RuntimeFailed(f"A compressed weight has {value.shape[axis]} blocks along an axis of {size}.")
        value = value.repeat_interleave(size // value.shape[axis], axis)
    return value


@op("constexpr_affine_dequantize")
def affine_dequantize(operands: Operands) -> Tensor:
    """``scale * (quantized_data - zero_point)``, along ``axis``."""
    data, axis = operands["quantized_data"].float(), operands.integer("axis", 0)
    shape = [-1 if n == axis % data.dim() else 1 for n in range(data.dim())]
    scale, zero = operands["scale"], operands["zero_point"].float()
    return (data - (zero.reshape(shape) if zero.dim() else zero)) * (scale.reshape(shape) if scale.dim() else scale)


@op("constexpr_lut_to_dense")
def lut_to_dense(operands: Operands) -> Tensor:
    """Table entries by index: one table for all (iOS 16), or one per block of ``indices`` (iOS 18)."""
    lut, indices = operands["lut"], operands["indices"].to(torch.int64)
    if "shape" in operands:
        return _single_table(lut, indices, operands.numbers("shape"))
    if lut.shape[-1] != 1:
        raise RuntimeFailed("The MIL interpreter does not expand tables of vectors (vector palettisation).")
    tables = lut.reshape(*lut.shape[:-2], -1)
    for axis, size in enumerate(indices.shape):
        tables = tables.repeat_interleave(size // tables.shape[axis], axis)
    return tables.gather(-1, indices.unsqueeze(-1)).squeeze(-1)


def _single_table(lut: Tensor, indices: Tensor, shape: list[int]) -> Tensor:
    """``indices`` are bytes that hold ``log2(len(lut))`` bits per entry."""
    bits = int(lut.numel()).bit_length() - 1
    packed = indices.numpy().astype(np.uint8).reshape(-1)
    kind = BY_NAME[f"uint{bits}"]
    values = unpacked(packed, kind, int(np.prod(shape)))
    return lut.reshape(-1)[torch.from_numpy(values.astype(np.int64))].reshape(shape)


@op("constexpr_sparse_to_dense")
def sparse_to_dense(operands: Operands) -> Tensor:
    """``nonzero_data`` at the ones of ``mask``, else 0."""
    data, mask = operands["nonzero_data"], operands["mask"]
    if "shape" in operands:
        shape = operands.numbers("shape")
        bits = np.unpackbits(mask.numpy().astype(np.uint8).reshape(-1), bitorder="little")[: int(np.prod(shape))]
        mask = torch.from_numpy(bits.reshape(shape))
    dense = torch.zeros(mask.shape, dtype=data.dtype)
    if int((mask != 0).sum()) != data.numel():
        raise RuntimeFailed("A pruned weight has another number of values than its mask has ones.")
    dense[mask != 0] = data.reshape(-1)
    return dense


@op("constexpr_cast")
def constexpr_cast(operands: Operands) -> Tensor:
    """The stored value in another type."""
    return BY_NAME[operands.text("output_dtype")].rounded(operands["source_val"])
