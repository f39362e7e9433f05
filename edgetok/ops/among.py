"""Matching among chosen tokens: every source to its most similar target, both given by their indices.

With ``S = norm(metric[sources]) @ norm(metric[targets]).T`` every source proposes its best target (ties: the earlier in
the list); the r best proposals (ties: the earlier source) are merged, and every other token stays, in its order.
Methods that choose their own sources and targets (by energy, importance, stride) share this; Token Merging's fixed
bipartition is :mod:`edgetok.ops.match`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok.ops.layout import as_index, iota, one_hot, step, unit
from edgetok.ops.match import Match, compact, first_hits, first_max, padded_cosines, stable_rank
from edgetok.ops.reduce import rows


def check_among(n: int, sources: int, targets: int, r: int) -> None:
    """Refuse a matching that cannot be done.

    Raises:
        ValueError: with the values that do not fit.
    """
    if not 0 <= r <= sources or (r and not targets) or sources + targets > n:
        raise ValueError(f"need 0 <= r <= sources, a target, and no more tokens than there are; got r={r}, "
                         f"sources={sources}, targets={targets}, tokens={n}")  # fmt: skip


def among_scores(metric: Tensor, sizes: Tensor | None, sources: Tensor, targets: Tensor) -> Tensor:
    """``[B, sources, targets]`` cosines, fp32 (fp64 for a fp64 metric); padding as in ``bipartite_scores``."""
    x = unit(metric if metric.dtype == torch.float64 else metric.float())
    real = None if sizes is None else step(sizes.to(x.dtype)).unsqueeze(-1)
    marks = None if real is None else (rows(real, sources), rows(real, targets))
    return padded_cosines(rows(x, sources), rows(x, targets), marks)


def sort_among(metric: Tensor, sizes: Tensor | None, sources: Tensor, targets: Tensor, r: int) -> Match:
    """The reference realisation, by stable sort and gather: see :func:`edgetok.ops.match_among`."""
    batch, n = metric.shape[0], metric.shape[1]
    sources, targets = as_index(sources), as_index(targets)
    check_among(n, sources.shape[1], targets.shape[1], r)
    if r == 0:
        return everything(metric, torch.int64)
    best, partner = first_max(among_scores(metric, sizes, sources, targets))
    merged = best.argsort(dim=1, descending=True, stable=True)[:, :r]
    src, target = sources.gather(1, merged), targets.gather(1, partner.gather(1, merged))
    gone = torch.zeros((batch, n), dtype=torch.int64, device=src.device).scatter(1, src, 1)
    keep = gone.argsort(dim=1, stable=True)[:, : n - r].contiguous()
    return keep, src, target - gone.cumsum(1).gather(1, target)


def everything(metric: Tensor, dtype: torch.dtype) -> Match:
    """The match of r = 0: every token stays where it is."""
    keep = torch.arange(metric.shape[1], dtype=dtype, device=metric.device).repeat(metric.shape[0], 1)
    return keep, keep[:, :0].clone(), keep[:, :0].clone()


def sort_free_among(
    metric: Tensor,
    sizes: Tensor | None,
    sources: Tensor,
    targets: Tensor,
    r: int,
    *,
    dtype: torch.dtype | None = None,
) -> Match:
    """The same by matmul, sub, mul, clamp, abs and max; ids are integer-valued floats."""
    n = metric.shape[1]
    check_among(n, sources.shape[1], targets.shape[1], r)
    if r == 0:
        return everything(metric, torch.float32)
    x = unit(metric if metric.dtype == torch.float64 else metric.float(), dtype)
    a, b = one_hot(sources, n, x.dtype), one_hot(targets, n, x.dtype)
    real = None if sizes is None else step(sizes.to(x.dtype), dtype).unsqueeze(-1)
    scores = padded_cosines(a @ x, b @ x, None if real is None else (a @ real, b @ real))
    best, first = first_hits(scores, dtype)
    rank = stable_rank(best.squeeze(-1), dtype)
    chosen = (1 - (rank.unsqueeze(1) - iota(0, r, rank).unsqueeze(-1)).abs()).clamp(0, 1)
    gone = chosen @ a
    positions, picks = compact(1 - gone.sum(1), n - r)
    ids = iota(0, n, x)
    return picks @ ids, gone @ ids, (chosen @ first @ b @ positions.unsqueeze(-1)).squeeze(-1)
