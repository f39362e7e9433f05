"""Selection of the highest-scoring tokens: what pruning methods decide."""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok.ops.layout import iota
from edgetok.ops.match import compact, stable_rank


def check_select(n: int, k: int, protected: int) -> None:
    """Refuse a selection that cannot be done.

    Raises:
        ValueError: with the values that do not fit.
    """
    if not 0 <= protected <= k <= n:
        raise ValueError(f"need 0 <= protected <= k <= tokens, got protected={protected}, k={k}, tokens={n}")


def sort_select(scores: Tensor, k: int, protected: int) -> Tensor:
    """The reference realisation, by stable sort: see :func:`edgetok.ops.select_top`."""
    batch, n = scores.shape
    check_select(n, k, protected)
    ranked = scores[:, protected:].argsort(dim=1, descending=True, stable=True)
    prefix = torch.arange(protected, device=scores.device).expand(batch, -1)
    return torch.cat([prefix, ranked[:, : k - protected].sort(dim=1).values + protected], dim=1)


def sort_free_select(scores: Tensor, k: int, protected: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """The same by matmul, sub, mul, clamp and abs; ids are integer-valued floats."""
    batch, n = scores.shape
    check_select(n, k, protected)
    rank = stable_rank(scores[:, protected:], dtype)
    _, picks = compact((k - protected - rank).clamp(0, 1), k - protected)
    return torch.cat([iota(0, protected, rank).expand(batch, -1), picks @ iota(protected, n, rank)], dim=1)


def check_rank(n: int, k: int, protected: int) -> None:
    """Refuse a ranking that cannot be done.

    Raises:
        ValueError: with the values that do not fit.
    """
    if not 0 <= k <= n - protected:
        raise ValueError(f"need 0 <= k <= tokens - protected, got k={k}, tokens={n}, protected={protected}")


def sort_rank(scores: Tensor, k: int, protected: int) -> Tensor:
    """The reference realisation, by stable sort: see :func:`edgetok.ops.rank_top`."""
    check_rank(scores.shape[1], k, protected)
    return scores[:, protected:].argsort(dim=1, descending=True, stable=True)[:, :k] + protected


def sort_free_rank(scores: Tensor, k: int, protected: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """The same by matmul, sub, mul, clamp and abs; ids are integer-valued floats."""
    n = scores.shape[1]
    check_rank(n, k, protected)
    rank = stable_rank(scores[:, protected:], dtype)
    picks = (1 - (rank.unsqueeze(1) - iota(0, k, rank).unsqueeze(-1)).abs()).clamp(0, 1)
    return picks @ iota(protected, n, rank)
