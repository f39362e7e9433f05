"""``destinations``, ``restore`` and ``compose`` in standard ONNX operators: by gathers, or by one-hot matmul."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgetok_exporters.onnx.body import BOOL, FLOAT, Body, numpy_dtype, size
from edgetok_exporters.onnx.reduce import as_index, one_hot, pick


def gather_destinations(body: Body, keep: ir.Value, src: ir.Value, dst: ir.Value, n: int) -> tuple[ir.Value, ...]:
    """``[B, n]``, int64: old -> new, -1 where dropped; see ``edgetok.ops.destinations``."""
    keep, src, dst = (as_index(body, ids) for ids in (keep, src, dst))
    nowhere = body.spread(np.full((1, n), -1, dtype=np.int64), keep)
    new = body.spread(np.arange(size(keep, 1))[None, :], keep)
    dest = body("ScatterElements", nowhere, keep, new, axis=1)
    return (body("ScatterElements", dest, src, dst, axis=1) if size(src, 1) else dest,)


def one_hot_destinations(body: Body, keep: ir.Value, src: ir.Value, dst: ir.Value, n: int) -> tuple[ir.Value, ...]:
    """The same as integer-valued fp32, by matmul."""
    dest = _scatter(body, keep, np.arange(1, size(keep, 1) + 1, dtype=np.float32)[:, None], n)
    if size(src, 1):
        ids = dst if dst.dtype == FLOAT else body.cast(dst, FLOAT)
        dest = body("Add", dest, _scatter(body, src, body.column(body("Add", ids, np.float32(1))), n))
    return (body.flat(body("Sub", dest, np.float32(1))),)


def _scatter(body: Body, ids: ir.Value, values: ir.Value | np.ndarray, n: int) -> ir.Value:
    """Zeros ``[B, n, 1]`` with ``values [B, k, 1]`` at distinct ``ids [B, k]``."""
    rows = body("Transpose", one_hot(body, ids, n, FLOAT), perm=[0, 2, 1])
    return body("MatMul", rows, values)


def gather_restore(body: Body, y: ir.Value, dest: ir.Value, dropped: ir.Value | None) -> tuple[ir.Value, ...]:
    """Every old token's value ``[B, N, C]``; see ``edgetok.ops.restore``."""
    index = body.column(as_index(body, dest))
    known = body("Less", np.asarray(-1), index)
    values = body.rows(y, body("Max", index, np.asarray(0)))
    other = dropped if dropped is not None else np.zeros((), dtype=numpy_dtype(y))
    return (choose(body, known, values, other, y.dtype),)


def choose(
    body: Body, known: ir.Value, values: ir.Value, other: ir.Value | np.ndarray, dtype: ir.DataType | None
) -> ir.Value:
    """``values`` where known, else ``other``; onnxruntime has no ``Where`` on bool."""
    if dtype != BOOL:
        return body("Where", known, values, other)
    return body("Or", body("And", known, values), body("And", body("Not", known), other))


def one_hot_restore(body: Body, y: ir.Value, dest: ir.Value, dropped: ir.Value | None) -> tuple[ir.Value, ...]:
    """The same by matmul."""
    values = pick(body, one_hot(body, dest, size(y, 1), FLOAT), y)
    if dropped is None:
        return (values,)
    known = body("Less", np.float32(-0.5), body.column(dest if dest.dtype == FLOAT else body.cast(dest, FLOAT)))
    return (choose(body, known, values, dropped, y.dtype),)


def gather_compose(body: Body, first: ir.Value, second: ir.Value) -> tuple[ir.Value, ...]:
    """``[B, N0]``, int64: first, then second; -1 absorbs. See ``edgetok.ops.compose``."""
    first, second = as_index(body, first), as_index(body, second)
    through = body("GatherElements", second, body("Max", first, np.asarray(0)), axis=1)
    return (body("Where", body("Less", first, np.asarray(0)), np.asarray(-1), through),)


def one_hot_compose(body: Body, first: ir.Value, second: ir.Value) -> tuple[ir.Value, ...]:
    """The same as integer-valued fp32, by matmul."""
    values = second if second.dtype == FLOAT else body.cast(second, FLOAT)
    column = body.column(body("Add", values, np.float32(1)))
    picked = body("MatMul", one_hot(body, first, size(second, 1), FLOAT), column)
    return (body.flat(body("Sub", picked, np.float32(1))),)
