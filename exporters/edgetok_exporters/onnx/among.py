"""``rank_top`` and ``match_among`` in standard ONNX operators, with and without sort.

The algorithms are those of ``edgetok.ops.select`` and ``edgetok.ops.among``; the conventions those of
``edgetok_exporters.onnx.match`` and ``edgetok_exporters.onnx.match_sort_free``.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgetok.ops.match import MIXED_PAIR, PADDING_PAIR
from edgetok_exporters.onnx.body import FLOAT, INT64, Body, size
from edgetok_exporters.onnx.match import in_fp32, survivors
from edgetok_exporters.onnx.match_sort_free import (
    compact,
    first_hits,
    flip,
    padded,
    spike,
    stable_rank,
    step,
    turn,
    unit,
)
from edgetok_exporters.onnx.reduce import as_index, one_hot


def sort_rank(body: Body, scores: ir.Value, k: int, protected: int) -> tuple[ir.Value, ...]:
    """``[B, k]``, int64, best first; see ``edgetok.ops.rank_top``."""
    ranked = body.many("TopK", 2, body.slice(scores, protected), [k], axis=1)[1]
    return (body("Add", ranked, protected),)


def sort_free_rank(body: Body, scores: ir.Value, k: int, protected: int) -> tuple[ir.Value, ...]:
    """The same as integer-valued fp32, by matmul."""
    n = size(scores, 1) - protected
    rank = stable_rank(body, body.column(body.slice(in_fp32(body, scores), protected)), n)
    picks = spike(body, turn(body, rank), _column(np.arange(k)))
    return (body.flat(body("MatMul", picks, _column(np.arange(protected, protected + n)))),)


def sort_among(
    body: Body, metric: ir.Value, sizes: ir.Value | None, sources: ir.Value, targets: ir.Value, r: int
) -> tuple[ir.Value, ...]:
    """``(keep [B, N-r], src [B, r], dst [B, r])``, int64; see ``edgetok.ops.match_among``."""
    n = size(metric, 1)
    if r == 0:
        return _everything(body, metric, np.arange(n)[None, :])
    columns = [body.column(as_index(body, ids)) for ids in (sources, targets)]
    best, partner = body.many("TopK", 2, _scores(body, metric, sizes, *columns), [1], axis=2)
    merged = body.many("TopK", 2, best, [r], axis=1)[1]
    src, place = body.rows(columns[0], merged), body.rows(partner, merged)
    target = body.rows(columns[1], place)
    before = body("Less", turn(body, src), target)
    dst = body("Sub", target, body("ReduceSum", body.cast(before, INT64), [2], keepdims=1))
    return body.flat(survivors(body, src, n, r)), body.flat(src), body.flat(dst)


def _scores(body: Body, metric: ir.Value, sizes: ir.Value | None, sources: ir.Value, targets: ir.Value) -> ir.Value:
    """Cosines of sources (rows) and targets (columns), ``[B, a, b]``, fp32, with padding told apart."""
    x = body("LpNormalization", in_fp32(body, metric), axis=-1, p=2)
    cosine = body("MatMul", body.rows(x, sources), turn(body, body.rows(x, targets)))
    if sizes is None:
        return cosine
    real = body("Greater", body.column(sizes), body.scalar(0, sizes))
    real_a, real_b = body.rows(real, sources), turn(body, body.rows(real, targets))
    padding = body("Where", body("Or", real_a, real_b), np.float32(MIXED_PAIR), np.float32(PADDING_PAIR))
    return body("Where", body("And", real_a, real_b), cosine, padding)


def sort_free_among(
    body: Body, metric: ir.Value, sizes: ir.Value | None, sources: ir.Value, targets: ir.Value, r: int
) -> tuple[ir.Value, ...]:
    """The same as integer-valued fp32, by matmul."""
    n = size(metric, 1)
    if r == 0:
        return _everything(body, metric, np.arange(n, dtype=np.float32)[None, :])
    x = unit(body, in_fp32(body, metric))
    a, b = one_hot(body, sources, n, FLOAT), one_hot(body, targets, n, FLOAT)
    cosine = body("MatMul", body("MatMul", a, x), turn(body, body("MatMul", b, x)))
    if sizes is not None:
        real = step(body, body.column(in_fp32(body, sizes)))
        cosine = padded(body, cosine, body("MatMul", a, real), body("MatMul", b, real))
    best, first = first_hits(body, cosine, size(targets, 1))
    rank = stable_rank(body, best, size(sources, 1))
    chosen = spike(body, turn(body, rank), _column(np.arange(r)))
    gone = body("MatMul", chosen, a)
    alive = flip(body, body("MatMul", turn(body, gone), np.ones((r, 1), np.float32)))
    positions, picks = compact(body, alive, n, n - r)
    into = body("MatMul", body("MatMul", chosen, first), b)
    ids = _column(np.arange(n))
    made = (body("MatMul", picks, ids), body("MatMul", gone, ids), body("MatMul", into, positions))
    return tuple(body.flat(value) for value in made)


def _everything(body: Body, like: ir.Value, row: np.ndarray) -> tuple[ir.Value, ...]:
    """The match of r = 0: every token stays where it is."""
    keep = body.spread(row, like)
    return keep, body.slice(keep, 0, 0), body.slice(keep, 0, 0)


def _column(ids: np.ndarray) -> np.ndarray:
    return ids.astype(np.float32)[:, None]
