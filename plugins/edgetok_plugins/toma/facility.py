"""Destinations that stand for all tokens of a sample: facility location, chosen greedily."""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok.ops import rank_top

FIRST = 1e-4
"""What each place further on costs a token: two that are each other's nearest raise the sum alike, but for rounding."""


def facilities(x: Tensor, count: int, rounds: int) -> Tensor:
    """``(batch, n)``: 1 for the ``count`` tokens chosen, 0 for the others.

    They raise ``f(S) = sum_i max_{j in S} x_i . x_j - FIRST sum_{j in S} j`` greedily: each round takes those that
    raise it most, each by itself.

    Args:
        x: ``(batch, n, c)``, unit vectors.
        count: how many to choose.
        rounds: in how many rounds; ``count`` of them take one token each.
    """
    n = x.shape[1]
    alike = x @ x.transpose(1, 2)
    best, chosen = alike.new_full((1, 1, n), -1.0), torch.zeros_like(x[:, :, 0])
    ids = torch.arange(n, device=x.device)
    for k in _shared(count, rounds):
        gain = (alike - best).clamp(min=0).sum(-1)
        picked = rank_top(gain - FIRST * ids - (2 * n + 1) * chosen, k, 0)
        hot = (picked.unsqueeze(2) == ids).to(x.dtype)
        best = torch.maximum(best, (hot @ alike).amax(1, keepdim=True))
        chosen = chosen + hot.sum(1)
    return chosen


def _shared(count: int, rounds: int) -> list[int]:
    """``count`` dealt out to at most ``rounds`` rounds, the larger shares last: what is chosen first matters most."""
    rounds = min(rounds, count)
    return [count * (i + 1) // rounds - count * i // rounds for i in range(rounds)]
