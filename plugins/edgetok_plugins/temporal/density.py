"""Density peaks: tokens that many lie near to, and that no denser one is near to."""

from __future__ import annotations

import math

import torch
from torch import Tensor

NEAREST = 4
"""How many neighbours tell a token's density."""


def prominence(x: Tensor) -> Tensor:
    """What tokens rank by, ``(batch, n)``, fp32: the logarithm of density times the distance to a denser token.

    The density of a token is ``exp(-mean)`` of its squared distances per channel to the ``NEAREST``; the distance is to
    the nearest denser token, or for the densest to the farthest. Of equally dense tokens the earlier counts as denser,
    so that the copies of a peak are none: without distance they come last. The logarithm keeps the order where
    densities are below the smallest float, as those of tokens are that lie far from all others.

    Args:
        x: ``(batch, n, c)``, floating.
    """
    squares = _squares(x.float())
    density = -_mean_of_nearest(squares)
    n = x.shape[1]
    earlier = torch.ones(n, n, device=x.device).tril(-1).bool()
    mine, others = density.unsqueeze(2), density.unsqueeze(1)
    denser = (others > mine).logical_or((others == mine).logical_and(earlier))
    farthest = squares.amax(2, keepdim=True)
    away = torch.where(denser, squares, farthest).amin(2)
    return torch.where(away > 0, density + 0.5 * torch.where(away > 0, away, 1.0).log(), -FAR)


def _squares(x: Tensor) -> Tensor:
    """``(batch, n, n)`` squared distances per channel; scaled first, as sums of squares may be too large for fp16."""
    centred = (x - x.mean(1, keepdim=True)) * (1.0 / math.sqrt(x.shape[2]))
    lengths = (centred * centred).sum(-1)
    inner = centred @ centred.transpose(1, 2)
    return (lengths.unsqueeze(1) + lengths.unsqueeze(2) - 2 * inner).clamp(min=0)


def _mean_of_nearest(squares: Tensor) -> Tensor:
    """The mean over each token's nearest others, one smallest value and all its equals at a time; no sort."""
    n = squares.shape[1]
    nearest = min(NEAREST, n - 1)
    left = squares + FAR * torch.eye(n, device=squares.device)
    total, wanted = torch.zeros_like(squares[:, :, :1]), torch.full_like(squares[:, :, :1], float(nearest))
    for _ in range(nearest):
        least = left.amin(2, keepdim=True)
        equal = left == least
        taken = torch.minimum(equal.to(left.dtype).sum(2, keepdim=True), wanted)
        total, wanted = total + taken * least, wanted - taken
        left = torch.where(equal, left + FAR, left)
    return (total / max(nearest, 1)).squeeze(2)


FAR = 3e4
"""Added to what is not to be chosen again, and taken from what comes last; finite in fp16."""
