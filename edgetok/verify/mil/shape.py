"""Layout: reshaping, transposing, joining, cutting, filling."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from edgetok.verify.mil.registry import Operands, op


@op("reshape")
def reshape(operands: Operands) -> Tensor:
    """To ``shape``: 0 is the size of the axis as far from the right (1 where there is none), -1 is what is left."""
    x, wanted = operands["x"], operands.numbers("shape")
    sizes = [1] * max(len(wanted) - x.dim(), 0) + list(x.shape[max(x.dim() - len(wanted), 0) :])
    return x.reshape([size or old for size, old in zip(wanted, sizes, strict=True)])


@op("transpose")
def transpose(operands: Operands) -> Tensor:
    """Axes in the order of ``perm``."""
    return operands["x"].permute(operands.numbers("perm"))


@op("expand_dims")
def expand_dims(operands: Operands) -> Tensor:
    """New axes of size 1 at ``axes`` of the result."""
    x, axes = operands["x"], operands.numbers("axes")
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@op("squeeze")
def squeeze(operands: Operands) -> Tensor:
    """Without ``axes``, or without every axis of size 1."""
    x = operands["x"]
    return x.squeeze(tuple(operands.numbers("axes"))) if "axes" in operands else x.squeeze()


@op("concat")
def concat(operands: Operands) -> Tensor:
    """Tensors one after the other along ``axis``, or interleaved; a scalar is a vector of one."""
    axis = operands.integer("axis")
    values = [value if value.dim() else value.reshape(1) for value in operands.tensors("values")]
    if not operands.flag("interleave"):
        return torch.cat(values, axis)
    axis %= values[0].dim()
    return torch.stack(values, axis + 1).flatten(axis, axis + 1)


@op("stack")
def stack(operands: Operands) -> Tensor:
    """Tensors along a new ``axis``."""
    return torch.stack(operands.tensors("values"), operands.integer("axis"))


@op("split")
def split(operands: Operands) -> tuple[Tensor, ...]:
    """Pieces along ``axis``: of ``split_sizes``, or ``num_splits`` equal ones."""
    x, axis = operands["x"], operands.integer("axis")
    if "split_sizes" in operands:
        return torch.split(x, operands.numbers("split_sizes"), axis)
    return torch.split(x, x.shape[axis] // operands.integer("num_splits"), axis)


@op("slice_by_index")
def slice_by_index(operands: Operands) -> Tensor:
    """From ``begin`` to ``end`` by ``stride``; masks open an end, or drop the axis."""
    x = operands["x"]
    begin, end = operands.numbers("begin"), operands.numbers("end")
    rank = x.dim()
    stride = operands.numbers("stride", [1] * rank)
    open_begin, open_end = operands.flags("begin_mask", rank), operands.flags("end_mask", rank)
    dropped = operands.flags("squeeze_mask", rank)
    for axis in range(rank):
        ids = _range(x.shape[axis], begin[axis], end[axis], stride[axis], open_begin[axis], open_end[axis])
        if dropped[axis]:
            ids = range(begin[axis] % x.shape[axis], begin[axis] % x.shape[axis] + 1)
        x = _taken(x, axis, ids)
    return x.squeeze(tuple(axis for axis in range(rank) if dropped[axis]))


def _range(size: int, begin: int, end: int, stride: int, open_begin: bool, open_end: bool) -> range:
    cut = slice(None if open_begin else begin, None if open_end else end, stride)
    return range(*cut.indices(size))


def _taken(x: Tensor, axis: int, ids: range) -> Tensor:
    if ids.step == 1:
        return x.narrow(axis, ids.start, len(ids))
    return x.index_select(axis, torch.tensor(list(ids), dtype=torch.int64))


@op("slice_by_size")
def slice_by_size(operands: Operands) -> Tensor:
    """``size`` entries from ``begin``; -1 is all that is left."""
    x = operands["x"]
    for axis, (start, size) in enumerate(zip(operands.numbers("begin"), operands.numbers("size"), strict=True)):
        x = x.narrow(axis, start, x.shape[axis] - start if size == -1 else size)
    return x


@op("tile")
def tile(operands: Operands) -> Tensor:
    """Repeated ``reps`` times along each axis."""
    return operands["x"].repeat(operands.numbers("reps"))


@op("pad")
def pad(operands: Operands) -> Tensor:
    """``pad`` holds before and after of the last axes; by a constant, the border, or mirrored."""
    x, amounts = operands["x"], operands.numbers("pad")
    mode = operands.text("mode", "constant")
    pairs = [n for axis in reversed(range(len(amounts) // 2)) for n in amounts[2 * axis : 2 * axis + 2]]
    if mode == "constant":
        return F.pad(x, pairs, value=operands.number("constant_val", 0.0))
    return F.pad(x, pairs, mode={"reflect": "reflect", "replicate": "replicate"}[mode])


@op("fill")
def fill(operands: Operands) -> Tensor:
    """A tensor of ``shape`` filled with ``value``."""
    value = operands["value"] if "value" in operands else torch.zeros(())
    return value.reshape(()).expand(operands.numbers("shape")).clone()


@op("fill_like")
def fill_like(operands: Operands) -> Tensor:
    """A tensor of the shape of ``ref_tensor`` filled with ``value``."""
    value = operands["value"] if "value" in operands else torch.zeros(())
    return value.reshape(()).expand(operands["ref_tensor"].shape).clone()


@op("shape")
def shape(operands: Operands) -> Tensor:
    """The sizes of ``x``."""
    return torch.tensor(operands["x"].shape, dtype=torch.int32)


@op("range_1d")
def range_1d(operands: Operands) -> Tensor:
    """``start``, ``start + step``, ... below ``end``."""
    start, end, step = (operands[name] for name in ("start", "end", "step"))
    return torch.arange(start.item(), end.item(), step.item()).to(start.dtype)


@op("band_part")
def band_part(operands: Operands) -> Tensor:
    """``x`` on ``lower`` diagonals below and ``upper`` above the main one, else 0; -1 is all of them."""
    x = operands["x"]
    lower, upper = operands.integer("lower", -1), operands.integer("upper", -1)
    x = x if lower < 0 else x.triu(-lower)
    return x if upper < 0 else x.tril(upper)


@op("flatten2d")
def flatten2d(operands: Operands) -> Tensor:
    """As a matrix: the axes before ``axis``, and those from it on."""
    x, axis = operands["x"], operands.integer("axis", 1)
    return x.reshape(math.prod(x.shape[: axis % x.dim() if axis < 0 else axis]), -1)


@op("reverse")
def reverse(operands: Operands) -> Tensor:
    """Backwards along ``axes``."""
    x = operands["x"]
    return x.flip(operands.numbers("axes", range(x.dim())))
