"""Decisions: operators whose output is a choice, and how far a runtime's choice is from the best one.

A runtime rounds differently, so two nearly equal scores may change places. Parity therefore replays the runtime's
decisions in the reference and asks of each: how much score did it give away? 0 is an optimal choice (exact ties
included), a small gap is a near-tie, a large one a wrong choice, infinity no valid token map at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from edgetok.ops import register
from edgetok.ops.among import among_scores
from edgetok.ops.layout import sides
from edgetok.ops.match import bipartite_scores

Parts = tuple[Tensor, ...]
Gap = Callable[[tuple[Any, ...], Parts], Tensor]
_GAPS: dict[OpOverload, Gap] = {}
_CANONICAL: dict[OpOverload, Callable[[Parts], Parts]] = {}
_MIXED: dict[OpOverload, tuple[Callable[[Parts], Parts], Callable[[tuple[Any, ...], Parts], Parts]]] = {}

DECISION_OPS = _GAPS.keys()
"""Operators whose outputs parity replays: a live view of what is registered."""


def register_decision(op: OpOverload, gap: Gap, canonical: Callable[[Parts], Parts] = lambda parts: parts) -> None:
    """Declare that ``op`` decides, and how a decision is judged.

    Args:
        op: a functional operator overload.
        gap: takes all arguments of the operator, by position, and a decision (its outputs as a tuple, int64);
            returns ``[B]``: the score given away, relative to the scale of the scores; inf where invalid.
        canonical: rewrites a decision so that two that mean the same become equal.

    Raises:
        ValueError: if the operator is registered already.
    """
    if op in _GAPS:
        raise ValueError(f"{op} has a gap already")
    _GAPS[op], _CANONICAL[op] = gap, canonical


def register_mixed(
    op: OpOverload, choice: Callable[[Parts], Parts], complete: Callable[[tuple[Any, ...], Parts], Parts]
) -> None:
    """Declare that only some outputs are the choice: ``choice`` picks them, ``complete`` makes all of them again."""
    _MIXED[op] = choice, complete


def choice_of(op: OpOverload, outputs: Sequence[Tensor]) -> Parts:
    """Those outputs of a decision that are the choice, as integers."""
    picked = _MIXED[op][0](tuple(outputs)) if op in _MIXED else tuple(outputs)
    return tuple(as_decision(part) for part in picked)


def outputs_of(op: OpOverload, args: Sequence[Any], decision: Parts) -> Parts:
    """All outputs that the operator has with this choice."""
    return _MIXED[op][1](tuple(args), decision) if op in _MIXED else decision


def gap(op: OpOverload, args: Sequence[Any], decision: Sequence[Tensor]) -> Tensor:
    """How far ``decision`` is from optimal under ``args``, per sample ``[B]``; inf where it is invalid.

    Args:
        op: one of ``DECISION_OPS``.
        args: all arguments of the operator, by position; tensors as the *reference* has them.
        decision: the operator's outputs as a runtime computed them, as integers or integer-valued floats.

    Raises:
        KeyError: if the operator is not a decision.
    """
    return _GAPS[op](tuple(args), tuple(as_decision(part) for part in decision))


def as_decision(part: Tensor) -> Tensor:
    """One output of a decision as int64; an entry that is no integer becomes -1, which no index is."""
    if not part.is_floating_point():
        return part.to(torch.int64)
    rounded = part.round()
    return torch.where((part - rounded).abs() < 1e-3, rounded, -1.0).to(torch.int64)


def same(op: OpOverload, decision: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Whether two decisions of ``op`` mean the same, per sample ``[B]``."""
    first, second = (_CANONICAL[op](tuple(as_decision(part) for part in parts)) for parts in (decision, other))
    return torch.stack([(a == b).flatten(1).all(1) for a, b in zip(first, second, strict=True)]).all(0)


def by_source(match: Parts) -> Parts:
    """A match with its sources ascending: the order in which they are listed is free."""
    keep, src, dst = match
    order = src.argsort(dim=1, stable=True)
    return keep, src.gather(1, order), dst.gather(1, order)


def match_gap(args: tuple[Any, ...], decision: Parts) -> Tensor:
    """For :func:`edgetok.ops.bipartite_match`: the worst of a worse partner and of a worse source taken, in cosine."""
    metric, sizes, r, protected, order = args
    batch, n = metric.shape[0], metric.shape[1]
    keep, src, dst = decision
    if (keep.shape, src.shape, dst.shape) != ((batch, n - r), (batch, r), (batch, r)):
        return torch.full((batch,), torch.inf)
    valid = _valid_match(keep, src, dst, n, protected, order)
    if r == 0:
        return torch.where(valid, 0.0, torch.inf)
    scores = bipartite_scores(metric, sizes, protected)
    evens, odds = sides(n, protected)
    safe = valid.unsqueeze(1)
    chosen = torch.where(safe, (src - evens.start) // 2, torch.arange(r))
    partner = (keep.gather(1, dst.clamp(0, n - r - 1)) - odds.start) // 2
    partner = torch.where(safe, partner, 0)
    best = scores.amax(-1)
    got = scores.gather(1, chosen.unsqueeze(-1).expand(-1, -1, len(odds))).gather(2, partner.unsqueeze(-1)).squeeze(-1)
    worse_partner = (best.gather(1, chosen) - got).amax(1)
    return torch.where(valid, torch.maximum(worse_partner, _given_away(best, chosen)), torch.inf)


def among_gap(args: tuple[Any, ...], decision: Parts) -> Tensor:
    """For :func:`edgetok.ops.match_among`: as :func:`match_gap`, in cosine."""
    metric, sizes, sources, targets, r = args
    batch, n = metric.shape[0], metric.shape[1]
    keep, src, dst = decision
    if (keep.shape, src.shape, dst.shape) != ((batch, n - r), (batch, r), (batch, r)):
        return torch.full((batch,), torch.inf)
    valid = (torch.cat([keep, src], dim=1).sort(dim=1).values == torch.arange(n)).all(1) & (keep.diff(dim=1) > 0).all(1)
    if r == 0:
        return torch.where(valid, 0.0, torch.inf)
    scores = among_scores(metric, sizes, sources, targets)
    chosen, known = _places(sources, src)
    partner, there = _places(targets, keep.gather(1, dst.clamp(0, n - r - 1)))
    valid &= known & there & ((dst >= 0) & (dst < n - r)).all(1)
    chosen = torch.where(valid.unsqueeze(1), chosen, torch.arange(r))
    best = scores.amax(-1)
    got = scores.gather(1, chosen.unsqueeze(-1).expand(-1, -1, scores.shape[2])).gather(2, partner.unsqueeze(-1))
    worse_partner = (best.gather(1, chosen) - got.squeeze(-1)).amax(1)
    return torch.where(valid, torch.maximum(worse_partner, _given_away(best, chosen)), torch.inf)


def _places(listed: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Where ``ids [B, k]`` stand in ``listed [B, n]``, 0 for none, and whether all do ``[B]``."""
    hits = listed.unsqueeze(1) == ids.unsqueeze(2)
    return hits.int().argmax(2), hits.any(2).all(1)


def _given_away(scores: Tensor, chosen: Tensor) -> Tensor:
    """By how much the best of ``scores [B, n]`` left out beats the worst one ``chosen [B, k]``; at least 0."""
    left = scores.scatter(1, chosen, -torch.inf)
    if chosen.shape[1] in (0, scores.shape[1]):
        return torch.zeros_like(scores[:, 0]) if scores.shape[1] else scores.new_zeros(scores.shape[0])
    return (left.amax(1) - scores.gather(1, chosen).amin(1)).clamp(min=0)


def _valid_match(keep: Tensor, src: Tensor, dst: Tensor, n: int, protected: int, order: str) -> Tensor:
    """Every token once, sources even and destinations odd behind the prefix, new tokens in the order asked for."""
    tokens = torch.cat([keep, src], dim=1).sort(dim=1).values
    valid = (tokens == torch.arange(n)).all(1)
    valid &= ((src >= protected) & (src % 2 == 0)).all(1)
    in_range = (dst >= protected) & (dst < keep.shape[1])
    target = keep.gather(1, dst.clamp(0, keep.shape[1] - 1))
    valid &= (in_range & (target % 2 == 1)).all(1)
    place = keep if order == "kept" else torch.where(keep >= protected, keep + n * (keep % 2), keep)
    return valid & (place.diff(dim=1) > 0).all(1)


def select_gap(args: tuple[Any, ...], decision: Parts) -> Tensor:
    """For :func:`edgetok.ops.select_top`: the score given away, over the largest score's magnitude."""
    scores, k, protected = args
    (keep,) = decision
    batch, n = scores.shape
    if keep.shape != (batch, k):
        return torch.full((batch,), torch.inf)
    valid = ((keep >= 0) & (keep < n)).all(1) & (keep.diff(dim=1) > 0).all(1)
    valid &= (keep[:, :protected] == torch.arange(protected)).all(1)
    others = scores[:, protected:].double()
    chosen = torch.where(valid.unsqueeze(1), keep[:, protected:] - protected, torch.arange(k - protected))
    scale = others.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) if n > protected else 1.0
    return torch.where(valid, _given_away(others, chosen) / scale, torch.inf)


def rank_gap(args: tuple[Any, ...], decision: Parts) -> Tensor:
    """For :func:`edgetok.ops.rank_top`: the score given away at the worst place, over the largest score's magnitude."""
    scores, k, protected = args
    (ranked,) = decision
    batch, n = scores.shape
    if ranked.shape != (batch, k):
        return torch.full((batch,), torch.inf)
    valid = ((ranked >= protected) & (ranked < n)).all(1) & (ranked.sort(dim=1).values.diff(dim=1) > 0).all(1)
    if k == 0:
        return torch.where(valid, 0.0, torch.inf)
    others = scores[:, protected:].double()
    got = others.gather(1, torch.where(valid.unsqueeze(1), ranked - protected, 0))
    scale = others.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny)
    away = (others.sort(dim=1, descending=True).values[:, :k] - got).abs().amax(1)
    return torch.where(valid, away / scale, torch.inf)


register_decision(register.BIPARTITE_MATCH, match_gap, by_source)
register_decision(register.SELECT_TOP, select_gap)
register_decision(register.RANK_TOP, rank_gap)
register_decision(register.MATCH_AMONG, among_gap, by_source)


def topk_gap(args: tuple[Any, ...], decision: Parts) -> Tensor:
    """For ``aten.topk``, by which routers choose experts: the score given away, over the largest score's magnitude."""
    scores, k, dim, largest, _ = args
    rows = scores.movedim(dim, -1).double() * (1 if largest else -1)
    chosen = decision[0].movedim(dim, -1)
    if chosen.shape != (*rows.shape[:-1], k):
        return torch.full((scores.shape[0],), torch.inf)
    flat, picked = rows.reshape(-1, rows.shape[-1]), chosen.reshape(-1, k)
    valid = ((picked >= 0) & (picked < flat.shape[1])).all(1) & (picked.sort(1).values.diff(dim=1) > 0).all(1)
    picked = torch.where(valid.unsqueeze(1), picked, torch.arange(k))
    scale = flat.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny)
    away = torch.where(valid, _given_away(flat, picked) / scale, torch.inf)
    return away.reshape(scores.shape[0], -1).amax(1)


def _topk_outputs(args: tuple[Any, ...], decision: Parts) -> Parts:
    scores, _, dim, *_ = args
    return scores.gather(dim, decision[0]), decision[0]


TOPK = torch.ops.aten.topk.default
register_decision(TOPK, topk_gap, lambda parts: (parts[0].sort(-1).values,))
register_mixed(TOPK, lambda parts: parts[1:], _topk_outputs)
