"""``reduce`` in standard ONNX operators: by row gathers, or by one-hot matmul.

The mean is ``x'_m = x_keep[m] + sum_i (s_i / s'_m) (x_src_i - x_keep[m])``: only the ``r`` merged rows are computed,
all others are copied.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgetok_exporters.onnx.body import BOOL, FLOAT, FLOAT16, INT64, Body, numpy_dtype, size


def gather_reduce(
    body: Body, x: ir.Value, sizes: ir.Value | None, keep: ir.Value, src: ir.Value, dst: ir.Value, mode: str
) -> tuple[ir.Value, ...]:
    """``x [B, N, C]`` on the new tokens, by gathers; see ``edgetok.ops.reduce``."""
    kept, gone, into = (body.column(as_index(body, ids)) for ids in (keep, src, dst))
    if mode == "first" or size(src, 1) == 0:
        return (body.rows(x, kept),)
    groups = Groups(body, x, body.rows(kept, into), gone, into, size(src, 1))
    before, moved = body.rows(x, groups.target), body.rows(x, gone)
    if mode == "mean":
        moved = body("Div", body("Sub", moved, before), groups.parts(sizes))
    changed = body("Add", before, groups.total(moved))
    return (_replace(body, x, changed, kept, into, size(src, 1)),)


def _replace(body: Body, x: ir.Value, changed: ir.Value, kept: ir.Value, into: ir.Value, r: int) -> ir.Value:
    """``x`` at ``kept``, but ``changed [B, r, C]`` at ``into``; rows with the same destination are equal.

    The changed rows are appended to ``x``, and the gather's index points at them. ``max`` makes that index well
    defined where a destination occurs twice; an adding scatter would race on it.
    """
    n = size(x, 1)
    places = body.spread(np.arange(n, n + r)[None, :, None], x)
    index = body("ScatterElements", kept, into, places, axis=1, reduction="max")
    return body.rows(body("Concat", x, changed, axis=1), index)


class Groups:
    """Which of the ``r`` sources go to the same destination, as a 0/1 matrix ``[B, r, r]``.

    Attributes:
        target: ``[B, r, 1]`` the old index of each source's destination.
    """

    def __init__(self, body: Body, x: ir.Value, target: ir.Value, gone: ir.Value, into: ir.Value, r: int) -> None:
        self.body, self.x, self.target, self.gone, self.r = body, x, target, gone, r
        same = body("Equal", into, body("Transpose", into, perm=[0, 2, 1]))
        self.matrix = body.cast(same, x.dtype or FLOAT)

    def total(self, values: ir.Value | np.ndarray) -> ir.Value:
        """Values of sources ``[B, r, C]`` summed over each one's group."""
        return self.body("MatMul", self.matrix, values)

    def parts(self, sizes: ir.Value | None) -> ir.Value:
        """A group's total size, its representative included, over each source's: infinite for a source of size 0."""
        body, dtype = self.body, self.x.dtype or FLOAT
        if sizes is None:
            return body("Add", self.total(np.ones((self.r, 1), numpy_dtype(self.x))), body.scalar(1, self.x))
        column = body.column(sizes if sizes.dtype == dtype else body.cast(sizes, dtype))
        own = body.rows(column, self.gone)
        total = body("Add", body.rows(column, self.target), self.total(own))
        return body("Div", body("Add", total, smallest(body, self.x)), own)


def as_index(body: Body, ids: ir.Value) -> ir.Value:
    """Ids as int64, whichever way they are carried."""
    return ids if ids.dtype == INT64 else body.cast(ids, INT64)


def smallest(body: Body, like: ir.Value) -> np.ndarray:
    """The smallest normal number in the dtype of ``like``: guards 0 / 0."""
    return body.scalar(float(np.finfo(numpy_dtype(like)).tiny), like)


def one_hot(body: Body, ids: ir.Value, n: int, dtype: ir.DataType) -> ir.Value:
    """``ids [B, k]`` as rows of 0/1 ``[B, k, n]``; an id outside ``0..n-1`` gives zeros."""
    column = body.column(ids)
    if ids.dtype == INT64:
        return body.cast(body("Equal", column, np.arange(n)[None, None, :]), dtype)
    slots = np.arange(n, dtype=np.float32)[None, None, :]
    away = body("Abs", body("Sub", column, slots))
    hits = body("Clip", body("Sub", np.float32(1), away), np.float32(0), np.float32(1))
    return hits if dtype == FLOAT else body.cast(hits, dtype)


def one_hot_reduce(
    body: Body, x: ir.Value, sizes: ir.Value | None, keep: ir.Value, src: ir.Value, dst: ir.Value, mode: str
) -> tuple[ir.Value, ...]:
    """``x [B, N, C]`` on the new tokens, by matmul; see ``edgetok.ops.reduce``."""
    n, m = size(x, 1), size(keep, 1)
    if mode == "first" or size(src, 1) == 0:
        return (pick(body, one_hot(body, keep, n, FLOAT), x),)
    dtype = x.dtype or FLOAT
    picks, gone = one_hot(body, keep, n, dtype), one_hot(body, src, n, dtype)
    into = one_hot(body, dst, m, dtype)
    spread = body("Transpose", into, perm=[0, 2, 1])
    base, moved = body("MatMul", picks, x), body("MatMul", gone, x)
    if mode == "mean":
        if sizes is None:
            ones = body.scalar(1, x)
            size_gone: ir.Value | np.ndarray = ones
            total = body("Add", body("MatMul", into, body("ReduceSum", spread, [2], keepdims=1)), ones)
        else:
            column = body.column(sizes if sizes.dtype == dtype else body.cast(sizes, dtype))
            size_gone = body("MatMul", gone, column)
            kept_size = body("Add", body("MatMul", picks, column), body("MatMul", spread, size_gone))
            total = body("MatMul", into, kept_size)
        share = body("Div", size_gone, body("Max", total, smallest(body, x)))
        moved = body("Mul", share, body("Sub", moved, body("MatMul", into, base)))
    return (body("Add", base, body("MatMul", spread, moved)),)


def pick(body: Body, picks: ir.Value, x: ir.Value) -> ir.Value:
    """0/1 rows ``picks`` (fp32) times ``x`` of any dtype, in that dtype.

    Infinities become the largest finite values (0 * inf is nan); integers are exact to 2**24.
    """
    if x.dtype in (FLOAT, FLOAT16):
        limit = np.finfo(numpy_dtype(x))
        finite = body("Clip", x, limit.min, limit.max)
        same = picks if x.dtype == FLOAT else body.cast(picks, FLOAT16)
        return body("MatMul", same, finite)
    values = body("MatMul", picks, body.cast(x, FLOAT))
    if x.dtype == BOOL:
        return body("Greater", values, np.float32(0.5))
    return body.cast(body("Round", values), x.dtype or INT64)
