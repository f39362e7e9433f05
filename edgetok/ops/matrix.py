"""A bipartite match as matrices: what reductions multiply by where a target has matmul but neither sort nor gather.

Behind the protected prefix the even tokens are rows A and the odd ones rows B, cut from ``view(B, N/2, 2C)``. The match
is ``picks [B, K, na]``, one-hot rows of the A tokens that stay, and ``into [B, nb, na]``, 1 where an A token merges
into a B token. A sum over groups is ``[picks @ A ; B + into @ A]``: the half that is an identity is not multiplied.

Only matmul, max_pool2d, add, sub, mul, clamp, abs, rsqrt, slice and reshape with unit strides are used, in fp32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from edgetok.ops.layout import iota, sides

SCALE = 2.0**30
"""Length of a row that is compared: differences of cosines, ``SCALE**2`` times, are 1 or more from 2**-60 on.

Rounding keeps cosines of more than 2**-36 that far apart, so that a comparison is a difference, clamped to 0 and 1.
"""
NEVER = 2.0**20
"""Larger than any place in a sequence, and exact in fp32 with a place added."""


@dataclass(frozen=True)
class Layout:
    """How ``n`` tokens with a protected prefix fall into a front part, rows A and rows B.

    Attributes:
        cut: tokens set aside in front, copied as they are.
        forced: 1 where the first row of A is the one prefix token, which is never merged; then nothing is cut.
        evens: rows of A.
        odds: rows of B.
    """

    cut: int
    forced: int
    evens: int
    odds: int

    @classmethod
    def of(cls, n: int, protected: int) -> Layout:
        """The layout that pads least: one prefix token stays in A where that makes the rest even."""
        evens, odds = sides(n, protected)
        forced = int(protected == 1 and n % 2 == 0)
        return cls(protected - forced, forced, len(evens) + forced, len(odds))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows A and B of ``x [B, N, C]``."""
        batch, n, width = x.shape
        rest = x.narrow(1, self.cut, n - self.cut) if self.cut else x
        if (n - self.cut) % 2:
            rest = F.pad(rest, (0, 0, 0, 1))
        pairs = rest.reshape(batch, -1, 2 * width)
        lanes = pairs.narrow(2, 0, width), pairs.narrow(2, width, width)
        first, second = lanes if self.cut % 2 == 0 else lanes[::-1]
        return _head(first, self.evens), _head(second, self.odds)

    def join(self, x: Tensor, kept: Tensor, odds: Tensor) -> Tensor:
        """The new tokens: the front of ``x``, the A tokens that stay, the B tokens."""
        front = [x.narrow(1, 0, self.cut)] if self.cut else []
        return torch.cat([*front, kept, odds], dim=1)


def _head(x: Tensor, rows: int) -> Tensor:
    return x if x.shape[1] == rows else x.narrow(1, 0, rows)


def head_sum(keys: Tensor, heads: int) -> Tensor:
    """The sum over heads of packed ``keys [B, N, heads * d]``, ``[B, N, d]``: halves while the heads are even.

    A product with a tiled identity would be one operation, and compute far more than is asked.
    """
    while heads % 2 == 0:
        width = keys.shape[2] // 2
        keys, heads = keys.narrow(2, 0, width) + keys.narrow(2, width, width), heads // 2
    width = keys.shape[2] // heads
    total = keys.narrow(2, 0, width)
    for head in range(1, heads):
        total = total + keys.narrow(2, head * width, width)
    return total


def match_matrices(metric: Tensor, r: int, protected: int) -> tuple[Tensor, Tensor, Tensor]:
    """Token Merging's match in order ``reference``; see :func:`edgetok.ops.bipartite_match`.

    Args:
        metric: ``[B, N, d]``, of any length; no token is padding.
        r: tokens to merge away, at least 1 and fewer than the even tokens.
        protected: length of the prefix.

    Returns:
        ``picks [B, evens - r, evens]``, ``into [B, odds, evens]`` and ``rank [B, 1, evens]``, the place of each A token
        among the proposals, best first.
    """
    layout = Layout.of(metric.shape[1], protected)
    a, b = layout.split(_scaled(metric.float()))
    scores = a @ b.transpose(1, 2)
    best = F.max_pool2d(scores.unsqueeze(1), (1, layout.odds), (1, layout.odds)).squeeze(1)
    hit = (scores - best + 1.0).clamp(0, 1)
    first = F.linear(hit, torch.eye(layout.odds) - _ones(layout.odds).tril(-1)).clamp(0, 1)
    ahead, counts = _ahead(best, layout.forced), torch.ones((1, layout.evens))
    merged = F.linear(ahead, -counts, torch.full((1,), float(r))).clamp(0, 1)
    rank = F.linear(ahead, counts)
    return _picks(merged, layout.evens - r), (first * merged).transpose(1, 2), rank.transpose(1, 2)


def _scaled(x: Tensor) -> Tensor:
    """Rows at length ``SCALE``; 0 stays 0."""
    squares = F.linear(x * x, torch.full((1, x.shape[2]), SCALE**-2, dtype=x.dtype))
    return x * squares.clamp(min=torch.finfo(torch.float32).tiny).rsqrt()


def _ones(n: int) -> Tensor:
    return torch.ones((n, n))


def _ahead(best: Tensor, forced: int) -> Tensor:
    """Which rows of ``best [B, n, 1]`` come before each one, ``[B, n, n]``: those greater, or equal and earlier.

    ``forced`` first rows come last, whatever they score.
    """
    n = best.shape[1]
    before = _ones(n).tril(-1)
    if forced:
        row = (torch.arange(n) < forced).float()
        last = torch.finfo(torch.float32).max * (row.unsqueeze(1) - row)
        before = torch.where(last != 0, last, before)
    return (best.transpose(1, 2) - best + before).clamp(0, 1)


def _picks(merged: Tensor, count: int) -> Tensor:
    """One-hot rows ``[B, count, n]`` of the tokens whose flag in ``merged [B, n, 1]`` is not set, in their order."""
    n = merged.shape[1]
    weights = _ones(n).tril() + NEVER * torch.eye(n)
    places = F.linear(merged.transpose(1, 2), -weights, weights.sum(1) - (1 + NEVER))
    return (1.0 - (places - iota(0, count, merged).unsqueeze(1)).abs()).clamp(0, 1)


def matrix_sum(x: Tensor, picks: Tensor, into: Tensor, protected: int) -> Tensor:
    """Mode ``sum`` of :func:`edgetok.ops.reduce` by the match's matrices: ``x [B, N, C]`` to ``[B, M, C]``."""
    layout = Layout.of(x.shape[1], protected)
    a, b = layout.split(x)
    return layout.join(x, picks @ a, b + into @ a)


def matrix_mean(x: Tensor, sizes: Tensor, picks: Tensor, into: Tensor, protected: int) -> Tensor:
    """Mode ``mean`` of :func:`edgetok.ops.reduce` by the match's matrices.

    Args:
        x: ``[B, N, C]``.
        sizes: ``[B, N]``, all positive.
        picks: ``[B, K, na]``.
        into: ``[B, nb, na]``.
        protected: length of the prefix.
    """
    layout = Layout.of(x.shape[1], protected)
    a, b = layout.split(x)
    size_a, size_b = layout.split(sizes.unsqueeze(2))
    total = size_b + into @ size_a
    shares = into * size_a.transpose(1, 2) / total
    return layout.join(x, picks @ a, shares @ a + b * (size_b / total))


def matrix_ids(picks: Tensor, into: Tensor, rank: Tensor, n: int, protected: int) -> tuple[Tensor, Tensor, Tensor]:
    """The match as ``keep``, ``src``, ``dst`` in integer-valued floats."""
    layout = Layout.of(n, protected)
    evens = iota(layout.cut + layout.cut % 2, n, picks, 2).unsqueeze(1)
    odds = iota(layout.cut + 1 - layout.cut % 2, n, picks, 2).expand(picks.shape[0], -1)
    front = iota(0, layout.cut, picks).expand(picks.shape[0], -1)
    chosen = (1.0 - (rank - iota(0, layout.evens - picks.shape[1], rank).unsqueeze(1)).abs()).clamp(0, 1)
    partner = into.transpose(1, 2) @ iota(0, layout.odds, into).unsqueeze(1)
    target = (chosen @ partner).squeeze(2) + (layout.cut + picks.shape[1])
    return torch.cat([front, (picks @ evens).squeeze(2), odds], dim=1), (chosen @ evens).squeeze(2), target
