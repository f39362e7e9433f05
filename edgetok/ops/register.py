"""Registration of the ``edgetok::`` operators with torch: schema, kernel, fake kernel, gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from edgetok.ops import gradients
from edgetok.ops.among import check_among, sort_among
from edgetok.ops.layout import check_match
from edgetok.ops.match import Match, sort_match
from edgetok.ops.reduce import check_mode, gather_reduce
from edgetok.ops.restore import gather_compose, gather_destinations, gather_restore
from edgetok.ops.select import check_rank, check_select, sort_rank, sort_select


def _fake_match(metric: Tensor, sizes: Tensor | None, r: int, protected: int, order: str) -> Match:
    batch, n = metric.shape[0], metric.shape[1]
    check_match(n, r, protected, order)
    return _ids(metric, batch, n - r), _ids(metric, batch, r), _ids(metric, batch, r)


def _fake_select(scores: Tensor, k: int, protected: int) -> Tensor:
    check_select(scores.shape[1], k, protected)
    return _ids(scores, scores.shape[0], k)


def _fake_rank(scores: Tensor, k: int, protected: int) -> Tensor:
    check_rank(scores.shape[1], k, protected)
    return _ids(scores, scores.shape[0], k)


def _fake_among(metric: Tensor, sizes: Tensor | None, sources: Tensor, targets: Tensor, r: int) -> Match:
    batch, n = metric.shape[0], metric.shape[1]
    check_among(n, sources.shape[1], targets.shape[1], r)
    return _ids(metric, batch, n - r), _ids(metric, batch, r), _ids(metric, batch, r)


def _fake_reduce(x: Tensor, sizes: Tensor | None, keep: Tensor, src: Tensor, dst: Tensor, mode: str) -> Tensor:
    check_mode(mode, x)
    return x.new_empty((x.shape[0], keep.shape[1], x.shape[2]))


def _fake_destinations(keep: Tensor, src: Tensor, dst: Tensor, n: int) -> Tensor:
    return _ids(keep, keep.shape[0], n)


def _fake_restore(y: Tensor, dest: Tensor, dropped: Tensor | None) -> Tensor:
    return y.new_empty((y.shape[0], dest.shape[1], y.shape[2]))


def _fake_compose(first: Tensor, second: Tensor) -> Tensor:
    return _ids(first, first.shape[0], first.shape[1])


def _ids(like: Tensor, *shape: int) -> Tensor:
    return like.new_empty(shape, dtype=torch.int64)


def _register(name: str, schema: str, kernel: Any, fake: Any, backward: Any = None, context: Any = None) -> OpOverload:
    definition = torch.library.custom_op(f"edgetok::{name}", kernel, mutates_args=(), schema=schema)
    definition.register_fake(fake)
    definition.register_autograd(backward or gradients.nothing, setup_context=context)
    overload: OpOverload = getattr(torch.ops.edgetok, name).default
    return overload


BIPARTITE_MATCH = _register(
    "bipartite_match",
    "(Tensor metric, Tensor? sizes, int r, int protected, str order) -> (Tensor keep, Tensor src, Tensor dst)",
    sort_match,
    _fake_match,
)
SELECT_TOP = _register("select_top", "(Tensor scores, int k, int protected) -> Tensor", sort_select, _fake_select)
RANK_TOP = _register("rank_top", "(Tensor scores, int k, int protected) -> Tensor", sort_rank, _fake_rank)
MATCH_AMONG = _register(
    "match_among",
    "(Tensor metric, Tensor? sizes, Tensor sources, Tensor targets, int r) -> (Tensor keep, Tensor src, Tensor dst)",
    sort_among,
    _fake_among,
)
REDUCE = _register(
    "reduce",
    "(Tensor x, Tensor? sizes, Tensor keep, Tensor src, Tensor dst, str mode) -> Tensor",
    gather_reduce,
    _fake_reduce,
    gradients.reduce_backward,
    gradients.reduce_context,
)
DESTINATIONS = _register(
    "destinations",
    "(Tensor keep, Tensor src, Tensor dst, int n) -> Tensor",
    gather_destinations,
    _fake_destinations,
)
RESTORE = _register(
    "restore",
    "(Tensor y, Tensor dest, Tensor? dropped) -> Tensor",
    gather_restore,
    _fake_restore,
    gradients.restore_backward,
    gradients.restore_context,
)
COMPOSE = _register("compose", "(Tensor first, Tensor second) -> Tensor", gather_compose, _fake_compose)
