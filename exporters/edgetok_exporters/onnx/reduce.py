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
    if mode == "sum" and size(x, 2) == 1:
        return (total_sizes(body, x, kept, gone, into),)
    r = size(src, 1)
    target = body.rows(kept, into)
    same = body("Equal", into, body("Transpose", into, perm=[0, 2, 1]))
    group = body.cast(same, x.dtype or FLOAT)
    before, moved = body.rows(x, target), body.rows(x, gone)
    if mode == "mean":
        share = _share(body, x, sizes, kept, gone, into, group)
        moved = body("Mul", share, body("Sub", moved, before))
    changed = body("Add", before, body("MatMul", group, moved))
    return (_replace(body, x, changed, kept, into, r),)


def _replace(body: Body, x: ir.Value, changed: ir.Value, kept: ir.Value, into: ir.Value, r: int) -> ir.Value:
    """``x`` at ``kept``, but ``changed [B, r, C]`` at ``into``; rows with the same destination are equal.

    The changed rows are appended to ``x``, and the gather's index points at them. ``max`` makes that index well
    defined where a destination occurs twice; an adding scatter would race on it.
    """
    n = size(x, 1)
    places = body.spread(np.arange(n, n + r)[None, :, None], x)
    index = body("ScatterElements", kept, into, places, axis=1, reduction="max")
    return body.rows(body("Concat", x, changed, axis=1), index)


def _share(
    body: Body,
    x: ir.Value,
    sizes: ir.Value | None,
    kept: ir.Value,
    gone: ir.Value,
    into: ir.Value,
    group: ir.Value,
) -> ir.Value:
    """Each source's part of its group, ``[B, r, 1]``."""
    if sizes is None:
        members = body("Add", body("ReduceSum", group, [2], keepdims=1), body.scalar(1, x))
        return body("Reciprocal", members)
    column = body.column(sizes)
    total = body.rows(total_sizes(body, column, kept, gone, into), into)
    share = body("Div", body.rows(column, gone), body("Max", total, smallest(body, sizes)))
    return share if sizes.dtype == x.dtype else body.cast(share, x.dtype or FLOAT)


def total_sizes(body: Body, column: ir.Value, kept: ir.Value, gone: ir.Value, into: ir.Value) -> ir.Value:
    """``column [B, N, 1]`` summed over each group; onnxruntime cannot add fp16 by scatter on a CPU."""
    half = column.dtype == FLOAT16
    values = [body.rows(column, ids) for ids in (kept, gone)]
    base, moved = [body.cast(v, FLOAT) for v in values] if half else values
    total = body("ScatterElements", base, into, moved, axis=1, reduction="add")
    return body.cast(total, FLOAT16) if half else total


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
