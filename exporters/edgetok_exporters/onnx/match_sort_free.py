"""``bipartite_match`` and ``select_top`` without sort, index or integer: matmul, sub, mul, clip, abs and max.

The algorithm is that of ``edgetok.ops.match.sort_free_match``. Ids are integer-valued fp32, ``[B, k, 1]`` inside a
body; comparisons are made by :func:`step`, which is 1 above 0 and 0 elsewhere.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch

from edgetok.ops.layout import STEP_SCALE, sides
from edgetok.ops.match import MIXED_PAIR, PADDING_PAIR
from edgetok_exporters.onnx.body import Body, size
from edgetok_exporters.onnx.match import in_fp32, order_of_reference, unmerged

_ZERO, _ONE = np.float32(0), np.float32(1)


def sort_free_match(
    body: Body, metric: ir.Value, sizes: ir.Value | None, r: int, protected: int, order: str
) -> tuple[ir.Value, ...]:
    """``(keep, src, dst)`` as integer-valued fp32; see ``edgetok.ops.bipartite_match``."""
    n = size(metric, 1)
    evens, odds = sides(n, protected)
    if r == 0:
        return tuple(body.cast(ids, ir.DataType.FLOAT) for ids in unmerged(body, metric, protected, order))
    scores = similarity(body, metric, sizes, protected)
    best, first = first_hits(body, scores, len(odds))
    partner = body("MatMul", first, _column(range(len(odds))))
    rank = stable_rank(body, best, len(evens))
    chosen = spike(body, turn(body, rank), _column(range(r)))
    alive = body("Clip", body("Sub", rank, np.float32(r - 1)), _ZERO, _ONE)
    src, target = body("MatMul", chosen, _column(evens)), body("MatMul", chosen, partner)
    arrange = _kept if order == "kept" else _reference
    keep, dst = arrange(body, alive, target, n, r, protected)
    return body.flat(keep), body.flat(src), body.flat(dst)


def first_hits(body: Body, scores: ir.Value, n: int) -> tuple[ir.Value, ir.Value]:
    """The maximum of each row of ``scores [B, m, n]``, ``[B, m, 1]``, and one-hot rows of the first place it is at."""
    best = body("ReduceMax", scores, [2], keepdims=1)
    hit = flip(body, step(body, body("Sub", best, scores)))
    earlier = body("Clip", body("MatMul", hit, _below(n).T), _ZERO, _ONE)
    return best, body("Mul", hit, flip(body, earlier))


def similarity(body: Body, metric: ir.Value, sizes: ir.Value | None, protected: int) -> ir.Value:
    """Cosines of even tokens (rows) and odd tokens (columns) behind the prefix, with padding told apart."""
    x = in_fp32(body, metric)
    a, b = split(body, unit(body, x), size(metric, 1), protected)
    cosine = body("MatMul", a, turn(body, b))
    if sizes is None:
        return cosine
    return padded(body, cosine, *split(body, step(body, body.column(in_fp32(body, sizes))), size(metric, 1), protected))


def padded(body: Body, cosine: ir.Value, real_a: ir.Value, real_b: ir.Value) -> ir.Value:
    """Cosines with the scores of padding, where the flags ``[B, n, 1]`` and ``[B, m, 1]`` are 0."""
    both = body("MatMul", real_a, turn(body, real_b))
    neither = body("MatMul", flip(body, real_a), turn(body, flip(body, real_b)))
    mixed = flip(body, body("Add", both, neither))
    penalty = body("Add", body("Mul", neither, np.float32(PADDING_PAIR)), body("Mul", mixed, np.float32(MIXED_PAIR)))
    return body("Add", body("Mul", cosine, both), penalty)


def unit(body: Body, x: ir.Value) -> ir.Value:
    """Rows at length 1; for fp16 first at a largest entry of 1, so that no square overflows or vanishes."""
    floor = np.float32(1e-30)
    if body.half:
        floor = np.float32(2.0**-14)
        x = body("Div", x, body("Max", body("ReduceMax", body("Abs", x), [2], keepdims=1), floor))
    square = body("ReduceSum", body("Mul", x, x), [2], keepdims=1)
    return body("Div", x, body("Sqrt", body("Max", square, floor)))


def split(body: Body, x: ir.Value, n: int, protected: int) -> tuple[ir.Value, ir.Value]:
    """Unprotected even rows and odd rows of ``[B, N, d]``, by strided slices."""
    evens, odds = sides(n, protected)
    return body.slice(x, evens.start, step=2), body.slice(x, odds.start, step=2)


def step(body: Body, t: ir.Value) -> ir.Value:
    """1 where ``t > 0``, else 0; scaled twice, so that the smallest difference reaches 1."""
    scale = np.float32(STEP_SCALE[torch.float16] if body.half else 2.0**100)
    sign = body("Clip", body("Mul", t, scale), np.float32(-1), _ONE)
    return body("Clip", body("Mul", sign, scale), _ZERO, _ONE)


def flip(body: Body, flags: ir.Value) -> ir.Value:
    """``1 - flags``."""
    return body("Sub", _ONE, flags)


def turn(body: Body, x: ir.Value) -> ir.Value:
    """The last two axes exchanged."""
    return body("Transpose", x, perm=[0, 2, 1])


def spike(body: Body, ids: ir.Value, at: ir.Value | np.ndarray) -> ir.Value:
    """1 where two integer-valued floats are equal, else 0: ``clip(1 - |ids - at|, 0, 1)``."""
    return body("Clip", flip(body, body("Abs", body("Sub", ids, at))), _ZERO, _ONE)


def stable_rank(body: Body, best: ir.Value, n: int) -> ir.Value:
    """How many of ``best [B, n, 1]`` come before each in stable descending order, ``[B, n, 1]``."""
    row = turn(body, best)
    greater = step(body, body("Sub", row, best))
    equal = body("Mul", flip(body, greater), flip(body, step(body, body("Sub", best, row))))
    before = body("Add", greater, body("Mul", equal, _below(n)))
    return body("MatMul", before, np.ones((n, 1), np.float32))


def compact(body: Body, alive: ir.Value, n: int, count: int) -> tuple[ir.Value, ir.Value]:
    """New positions of the tokens flagged in ``alive [B, n, 1]``, and one-hot rows ``[B, count, n]`` that pick them."""
    positions = body("Sub", body("MatMul", np.tri(n, dtype=np.float32), alive), _ONE)
    return positions, body("Mul", spike(body, turn(body, positions), _column(range(count))), turn(body, alive))


def _reference(body: Body, alive: ir.Value, target: ir.Value, n: int, r: int, protected: int) -> tuple[ir.Value, ...]:
    evens = sides(n, protected)[0]
    left = len(evens) - r
    dst = body("Add", target, np.float32(protected + left))
    fixed = order_of_reference(n, protected, left).astype(np.float32)
    if not left:
        return body.spread(fixed, alive), dst
    offsets = body("MatMul", compact(body, alive, len(evens), left)[1], _column(range(0, 2 * len(evens), 2)))
    padded = body("Pad", offsets, [0, protected, 0, 0, fixed.shape[1] - protected - left, 0])
    return body("Add", padded, fixed), dst


def _kept(body: Body, alive: ir.Value, target: ir.Value, n: int, r: int, protected: int) -> tuple[ir.Value, ...]:
    evens, odds = sides(n, protected)
    free = n - protected
    spread = np.eye(free, dtype=np.float32)
    merged = body("MatMul", spread[:, np.asarray(evens, dtype=np.int64) - protected], flip(body, alive))
    positions, picks = compact(body, flip(body, merged), free, free - r)
    keep = body("Pad", body("MatMul", picks, _column(range(free))), [0, protected, 0, 0, 0, 0])
    at_odds = body("MatMul", spread[np.asarray(odds, dtype=np.int64) - protected], positions)
    into = spike(body, target, np.arange(len(odds), dtype=np.float32)[None, None, :])
    dst = body("Add", body("MatMul", into, at_odds), np.float32(protected))
    return body("Add", keep, np.minimum(_column(range(n - r)), np.float32(protected))), dst


def sort_free_select(body: Body, scores: ir.Value, k: int, protected: int) -> tuple[ir.Value, ...]:
    """``keep [B, k]`` as integer-valued fp32, ascending; see ``edgetok.ops.select_top``."""
    fixed = np.minimum(_column(range(k)), np.float32(protected))
    if k == protected:
        return (body.flat(body.spread(fixed[None], scores)),)
    n = size(scores, 1) - protected
    rank = stable_rank(body, body.column(body.slice(in_fp32(body, scores), protected)), n)
    alive = body("Clip", body("Sub", np.float32(k - protected), rank), _ZERO, _ONE)
    ids = body("MatMul", compact(body, alive, n, k - protected)[1], _column(range(n)))
    return (body.flat(body("Add", body("Pad", ids, [0, protected, 0, 0, 0, 0]), fixed)),)


def _column(ids: range) -> np.ndarray:
    return np.asarray(ids, dtype=np.float32)[:, None]


def _below(n: int) -> np.ndarray:
    """Ones strictly below the diagonal."""
    return np.tri(n, k=-1, dtype=np.float32)
