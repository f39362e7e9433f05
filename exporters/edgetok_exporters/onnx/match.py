"""``bipartite_match`` and ``select_top`` in standard ONNX operators, by stable sort.

``TopK`` lists the lower index first among equals, so its order is that of a stable sort. Ids travel inside a body as
``[B, k, 1]``, the form that ``GatherND`` reads. Between two large matrix products the first call of each kind of
operator costs more than the work it does, so few kinds are used: index arithmetic is a ``Gather`` from a constant.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgetok.ops.layout import sides
from edgetok.ops.match import MIXED_PAIR, PADDING_PAIR
from edgetok_exporters.onnx.body import FLOAT, INT64, Body, size

Ids = tuple[ir.Value, ir.Value, ir.Value]
PREFIX, EVEN, ODD = PADDING_PAIR + 3, PADDING_PAIR + 2, PADDING_PAIR + 1
"""What a token that stays is ranked by in reference order; above every score, so that merged ones come last."""


def sort_match(
    body: Body, metric: ir.Value, sizes: ir.Value | None, r: int, protected: int, order: str
) -> tuple[ir.Value, ...]:
    """``(keep [B, N-r], src [B, r], dst [B, r])``, int64; see ``edgetok.ops.bipartite_match``."""
    n = size(metric, 1)
    if r == 0:
        return unmerged(body, metric, protected, order)
    evens = sides(n, protected)[0]
    scores = similarity(body, metric, sizes, protected)
    best = body("ReduceMax", scores, [2], keepdims=1)
    if order == "kept":
        return tuple(body.flat(ids) for ids in _kept(body, best, scores, n, r, protected, evens))
    return tuple(body.flat(ids) for ids in _reference(body, best, scores, metric, r, protected))


def partners(body: Body, scores: ir.Value, merged: ir.Value) -> ir.Value:
    """The odd token each merged even one is most similar to, the lowest among equals, ``[B, r, 1]``."""
    return body.many("TopK", 2, body.rows(scores, merged), [1], axis=2)[1]


def similarity(body: Body, metric: ir.Value, sizes: ir.Value | None, protected: int) -> ir.Value:
    """Cosines of even tokens (rows) and odd tokens (columns) behind the prefix, ``[B, evens, odds]``, fp32."""
    evens, odds = sides(size(metric, 1), protected)
    unit = body("LpNormalization", in_fp32(body, metric), axis=-1, p=2)
    a, b = (body("Gather", unit, np.asarray(side, dtype=np.int64), axis=1) for side in (evens, odds))
    cosine = body("MatMul", a, body("Transpose", b, perm=[0, 2, 1]))
    if sizes is None:
        return cosine
    real = body("Greater", body.column(sizes), body.scalar(0, sizes))
    real_a = body.slice(real, evens.start, step=2)
    real_b = body("Transpose", body.slice(real, odds.start, step=2), perm=[0, 2, 1])
    padding = body("Where", body("Or", real_a, real_b), np.float32(MIXED_PAIR), np.float32(PADDING_PAIR))
    return body("Where", body("And", real_a, real_b), cosine, padding)


def in_fp32(body: Body, x: ir.Value) -> ir.Value:
    """``x`` in fp32: decisions are made there whatever the model's dtype."""
    return x if x.dtype == FLOAT else body.cast(x, FLOAT)


def _reference(body: Body, best: ir.Value, scores: ir.Value, metric: ir.Value, r: int, protected: int) -> Ids:
    """Prefix in place, unmerged even tokens ascending, odd tokens: one stable ranking, the merged ones last."""
    n, evens = size(metric, 1), np.asarray(sides(size(metric, 1), protected)[0], dtype=np.int64)
    values, merged = body.many("TopK", 2, best, [r], axis=1)
    src = body("Gather", evens, merged, axis=0)
    rank = np.full((1, n, 1), ODD, dtype=np.float32)
    rank[:, :protected], rank[:, evens] = PREFIX, EVEN
    ranked = body("ScatterElements", body.spread(rank, metric), src, values, axis=1)
    keep = body.many("TopK", 2, ranked, [n - r], axis=1)[1]
    dst = body("Gather", np.arange(protected + len(evens) - r, n - r), partners(body, scores, merged), axis=0)
    return keep, src, dst


def order_of_reference(n: int, protected: int, left: int) -> np.ndarray:
    """``[1, M, 1]``: old indices in reference order, the first even token's in place of ``left`` unmerged ones."""
    evens, odds = sides(n, protected)
    row = np.concatenate([np.arange(protected), np.full(left, evens.start), np.asarray(odds, dtype=np.int64)])
    return row.astype(np.int64)[None, :, None]


def _kept(body: Body, best: ir.Value, scores: ir.Value, n: int, r: int, protected: int, evens: range) -> Ids:
    """Survivors ascending: new index ``m`` holds ``m`` plus the number of merged tokens before it."""
    merged = body.many("TopK", 2, best, [r], axis=1)[1]
    src = body("Add", body("Mul", merged, 2), evens.start)
    odd = body("Mul", partners(body, scores, merged), 2)
    target = body("Add", odd, sides(n, protected)[1].start)
    keep = survivors(body, src, n, r)
    before = body("Less", body("Transpose", src, perm=[0, 2, 1]), target)
    return keep, src, body("Sub", target, _count(body, before))


def survivors(body: Body, gone: ir.Value, n: int, r: int) -> ir.Value:
    """The ids of ``0..n-1`` not among the ``r`` distinct ones of ``gone [B, r, 1]``, ascending, ``[B, n-r, 1]``."""
    ascending = body.many("TopK", 2, gone, [r], axis=1, largest=0)[0]
    gaps = body("Sub", ascending, np.arange(r)[None, :, None])
    slots = np.arange(n - r)[None, :, None]
    passed = body("LessOrEqual", body("Transpose", gaps, perm=[0, 2, 1]), slots)
    return body("Add", _count(body, passed), slots)


def _count(body: Body, flags: ir.Value) -> ir.Value:
    """How many are true along the last axis, ``[..., 1]``, int64."""
    return body("ReduceSum", body.cast(flags, INT64), [2], keepdims=1)


def unmerged(body: Body, metric: ir.Value, protected: int, order: str) -> tuple[ir.Value, ...]:
    """The match of r = 0: every token is kept."""
    n = size(metric, 1)
    evens, odds = sides(n, protected)
    row = [*range(n)] if order == "kept" else [*range(protected), *evens, *odds]
    keep = body.spread(np.asarray([row], dtype=np.int64), metric)
    return keep, body.slice(keep, 0, 0), body.slice(keep, 0, 0)


def sort_select(body: Body, scores: ir.Value, k: int, protected: int) -> tuple[ir.Value, ...]:
    """``keep [B, k]``, int64, ascending; see ``edgetok.ops.select_top``."""
    prefix = np.arange(k, dtype=np.int64)[None, :]
    if k == protected:
        return (body.spread(prefix, scores),)
    chosen = body.many("TopK", 2, body.slice(scores, protected), [k - protected], axis=1)[1]
    ascending = body.many("TopK", 2, chosen, [k - protected], axis=1, largest=0)[0]
    row = np.minimum(prefix, protected)
    return (body("Add", body("Pad", ascending, [0, protected, 0, 0]), row),)
