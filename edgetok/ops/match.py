"""Bipartite soft matching: which tokens merge into which.

With evens A and odds B of the tokens behind the protected prefix, and cosine similarity
``S = norm(A) @ norm(B).T``, every a in A proposes its best b (ties: lower index); the r best proposals
(ties: lower index) are merged. Source: Bolya et al., Token Merging (ICLR 2023, arXiv 2210.09461), section 3.

Departures: all prefix tokens are protected, not only the first; unmerged even tokens always keep their order
(the paper's code leaves them by similarity where there is no class token); padding is told apart by ``sizes``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok.ops.layout import check_match, iota, one_hot, sides, split, step, unit

Match = tuple[Tensor, Tensor, Tensor]

PADDING_PAIR, MIXED_PAIR = 2.0, -2.0
"""Scores of padding with padding and of padding with a real token: outside the range of a cosine."""


def bipartite_scores(metric: Tensor, sizes: Tensor | None, protected: int, dtype: torch.dtype | None = None) -> Tensor:
    """Similarity of every even (row) to every odd (column) token behind the prefix.

    Args:
        metric: ``[B, N, d]``, floating; half precisions are computed in fp32.
        sizes: ``[B, N]`` or None; 0 marks padding. Two padding tokens score 2, one alone -2.
        protected: length of the prefix that takes no part.
        dtype: see :func:`edgetok.ops.layout.step`.

    Returns:
        ``[B, evens, odds]`` cosines, fp32 (fp64 for a fp64 metric).
    """
    metric = metric if metric.dtype == torch.float64 else metric.float()
    a, b = split(unit(metric, dtype), protected)
    real = None if sizes is None else split(step(sizes.to(a.dtype), dtype).unsqueeze(-1), protected)
    return padded_cosines(a, b, real)


def padded_cosines(a: Tensor, b: Tensor, real: tuple[Tensor, Tensor] | None) -> Tensor:
    """``a @ b.T`` of unit rows, with the scores of padding where ``real`` (1 or 0 per row of a and b) says so.

    Args:
        a: ``[B, n, d]``.
        b: ``[B, m, d]``.
        real: ``[B, n, 1]`` and ``[B, m, 1]``; None where no token is padding.
    """
    cosine = a @ b.transpose(1, 2)
    if real is None:
        return cosine
    real_a, real_b = real
    both = real_a @ real_b.transpose(1, 2)
    neither = (1 - real_a) @ (1 - real_b).transpose(1, 2)
    return cosine * both + PADDING_PAIR * neither + MIXED_PAIR * (1 - both - neither)


def first_max(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum over the last axis and the lowest index that reaches it (``torch.max`` does not promise the lowest)."""
    best = scores.amax(-1)
    n = scores.shape[-1]
    ids = torch.arange(n, device=scores.device)
    hits = torch.where(scores == best.unsqueeze(-1), ids, n)
    return best, hits.amin(-1).clamp(max=n - 1)


def first_hits(scores: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    """:func:`first_max` without indices: the maximum ``[B, n, 1]``, and one-hot rows ``[B, n, m]`` of its place."""
    best = scores.amax(-1, keepdim=True)
    hit = 1 - step(best - scores, dtype)
    return best, hit * (1 - (hit @ _lower(hit, hit.shape[2], -1).T).clamp(0, 1))


def sort_match(metric: Tensor, sizes: Tensor | None, r: int, protected: int, order: str) -> Match:
    """The reference realisation, by stable sort and gather: see :func:`edgetok.ops.bipartite_match`."""
    batch, n = metric.shape[0], metric.shape[1]
    check_match(n, r, protected, order)
    evens, _ = sides(n, protected)
    if r == 0:
        return _unmerged(metric, protected, order, torch.int64)
    rows = torch.arange(n, device=metric.device).unsqueeze(0).expand(batch, -1)
    best, partner = first_max(bipartite_scores(metric, sizes, protected))
    ranked = best.argsort(dim=1, descending=True, stable=True)
    merged = ranked[:, :r]
    unmerged = ranked[:, r:].sort(dim=1).values * 2 + evens.start
    return _arrange(rows, unmerged, merged * 2 + evens.start, partner.gather(1, merged), protected, order)


def _unmerged(metric: Tensor, protected: int, order: str, dtype: torch.dtype) -> Match:
    """The match of r = 0: nothing moves but the order."""
    n, device = metric.shape[1], metric.device
    keep = torch.arange(n, dtype=dtype, device=device)
    if order == "reference":
        evens, odds = sides(n, protected)
        keep = torch.cat([keep[:protected], keep[evens.start :: 2], keep[odds.start :: 2]])
    keep = keep.repeat(metric.shape[0], 1)
    return keep, keep[:, :0].clone(), keep[:, :0].clone()


def _arrange(rows: Tensor, unmerged: Tensor, src: Tensor, partner: Tensor, protected: int, order: str) -> Match:
    """Put survivors into the order asked for; ``partner`` counts odd tokens, dst counts new ones."""
    odds = rows[:, sides(rows.shape[1], protected)[1].start :: 2]
    keep = torch.cat([rows[:, :protected], unmerged, odds], dim=1)
    dst = partner + protected + unmerged.shape[1]
    if order == "reference":
        return keep, src, dst
    permutation = keep.argsort(dim=1)
    return keep.gather(1, permutation), src, permutation.argsort(dim=1).gather(1, dst)


def stable_rank(values: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Place of each of ``values [B, n]`` in stable descending order, without sorting: how many come before it."""
    column, row = values.unsqueeze(2), values.unsqueeze(1)
    greater = step(row - column, dtype)
    equal = (1 - greater) * (1 - step(column - row, dtype))
    return (greater + equal * _lower(values, values.shape[1], -1)).sum(-1)


def compact(alive: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """New positions of the tokens whose 0/1 flag in ``alive [B, n]`` is set, and the one-hot rows that pick them.

    Returns:
        positions ``[B, n]`` (meaningless where not alive) and picks ``[B, count, n]``.
    """
    positions = alive @ _lower(alive, alive.shape[1], 0).T - 1
    slots = iota(0, count, alive).unsqueeze(-1)
    return positions, (1 - (positions.unsqueeze(1) - slots).abs()).clamp(0, 1) * alive.unsqueeze(1)


def sort_free_match(
    metric: Tensor, sizes: Tensor | None, r: int, protected: int, order: str, *, dtype: torch.dtype | None = None
) -> Match:
    """The same by matmul, sub, mul, clamp, abs and max; ids are integer-valued floats.

    ``dtype`` names the dtype that will compute the graph where it is converted later; fp16 counts exactly to 2048.
    """
    n = metric.shape[1]
    check_match(n, r, protected, order)
    if r == 0:
        return _unmerged(metric, protected, order, torch.float32)
    scores = bipartite_scores(metric, sizes, protected, dtype)
    best, first = first_hits(scores, dtype)
    partner = (first @ iota(0, first.shape[2], first).unsqueeze(-1)).squeeze(-1)
    rank = stable_rank(best.squeeze(-1), dtype)
    chosen = (1 - (rank.unsqueeze(1) - iota(0, r, rank).unsqueeze(-1)).abs()).clamp(0, 1)
    return _arrange_free((rank - (r - 1)).clamp(0, 1), chosen, partner, n, protected, order)


def _arrange_free(alive: Tensor, chosen: Tensor, partner: Tensor, n: int, protected: int, order: str) -> Match:
    """:func:`_arrange` on 0/1 flags of the even tokens and one-hot rows ``chosen [B, r, evens]`` of the sources."""
    batch, (evens, odds) = alive.shape[0], sides(n, protected)
    even_ids = iota(evens.start, n, alive, 2)
    src = chosen @ even_ids
    prefix = iota(0, protected, alive).expand(batch, -1)
    target = (chosen @ partner.unsqueeze(-1)).squeeze(-1)
    survivors = len(evens) - chosen.shape[1]
    if order == "reference":
        keep = compact(alive, survivors)[1] @ even_ids
        tail = iota(odds.start, n, alive, 2).expand(batch, -1)
        return torch.cat([prefix, keep, tail], dim=1), src, target + (protected + survivors)
    every = 1 - (1 - alive) @ one_hot(even_ids.unsqueeze(0) - protected, n - protected, alive.dtype).squeeze(0)
    positions, picks = compact(every, n - protected - chosen.shape[1])
    keep = picks @ iota(protected, n, alive)
    at_odds = (
        positions @ one_hot(iota(odds.start, n, alive, 2).unsqueeze(0) - protected, n - protected, alive.dtype)[0].T
    )
    dst = (one_hot(target, len(odds), alive.dtype) @ at_odds.unsqueeze(-1)).squeeze(-1)
    return torch.cat([prefix, keep], dim=1), src, dst + protected


def _lower(like: Tensor, n: int, diagonal: int) -> Tensor:
    """Lower triangle of ones ``[n, n]``, up to ``diagonal``."""
    return torch.ones((n, n), dtype=like.dtype, device=like.device).tril(diagonal)
