"""``reduce`` in standard ONNX operators: by row gathers, or by one-hot matmul.

The mean is ``x'_m = x_keep[m] + sum_i (s_i / s'_m) (x_src_i - x_keep[m])``: only the ``r`` merged rows are computed,
all others are copied. The fewer nodes the better: on a CPU each costs more than the work it does.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgetok_exporters.onnx.body import BOOL, FLOAT, FLOAT16, INT64, Body, numpy_dtype, size


def gather_reduce(
    body: Body, x: ir.Value, sizes: ir.Value | None, keep: ir.Value, src: ir.Value, dst: ir.Value, mode: str
) -> tuple[ir.Value, ...]:
    """``x [B, N, C]`` on the new tokens, by gathers and one adding scatter; see ``edgetok.ops.reduce``."""
    kept, gone, into = (body.column(as_index(body, ids)) for ids in (keep, src, dst))
    base = body.rows(x, kept)
    if mode == "first" or size(src, 1) == 0:
        return (base,)
    moved = body.rows(x, gone)
    if mode == "mean":
        away = body("Sub", moved, body.rows(base, into))
        moved = body("Mul", away, _shares(body, x, sizes, kept, gone, into))
    if mode == "max":
        return (_scatter_rows(body, base, into, moved, x.dtype or FLOAT, "max"),)
    return (_add_rows(body, base, into, moved, size(x, 2), x.dtype or FLOAT),)


def _shares(
    body: Body, x: ir.Value, sizes: ir.Value | None, kept: ir.Value, gone: ir.Value, into: ir.Value
) -> ir.Value:
    """The size of each source over that of its group, the representative included, ``[B, r, 1]``; 0 / 0 is 0."""
    dtype = x.dtype or FLOAT
    if sizes is None:
        column = body.spread(np.ones((1, size(x, 1), 1), numpy_dtype(x)), x)
        column.dtype = dtype
    else:
        column = body.column(sizes if sizes.dtype == dtype else body.cast(sizes, dtype))
    own, base = body.rows(column, gone), body.rows(column, kept)
    total = body.rows(_add_rows(body, base, into, own, 1, dtype), into)
    return body("Div", own, body("Add", total, smallest(body, x)))


def _add_rows(
    body: Body, base: ir.Value, into: ir.Value, rows: ir.Value, channels: int, dtype: ir.DataType
) -> ir.Value:
    """``base [B, M, C]`` with ``rows [B, r, C]`` added at ``into [B, r, 1]``, where an id may occur more than once."""
    if channels > 1:
        into = body("Expand", into, [1, 1, channels])
    return _scatter_rows(body, base, into, rows, dtype, "add")


def _scatter_rows(
    body: Body, base: ir.Value, into: ir.Value, rows: ir.Value, dtype: ir.DataType, reduction: str
) -> ir.Value:
    """A reducing scatter, in fp32: onnxruntime has none for fp16.

    Not ``ScatterND``: onnxruntime's threads race where an index occurs twice, and sums come out wrong.
    """
    if dtype == FLOAT16:
        base, rows = body.cast(base, FLOAT), body.cast(rows, FLOAT)
    made = body("ScatterElements", base, into, rows, axis=1, reduction=reduction)
    return body.cast(made, dtype) if dtype == FLOAT16 else made


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
    if mode == "max":
        above = body("Mul", spread, body("Sub", body("Transpose", moved, perm=[0, 2, 1]), base))
        return (body("Add", base, body("ReduceMax", body("Max", above, body.scalar(0, x)), [2], keepdims=1)),)
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
