"""A metric in which attended tokens are unlike all others: similarity and attention in one cosine."""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok.ops.layout import unit

MOST = 1.0
"""The most that attention can speak against merging a token."""


def guarded(keys: Tensor, attention: Tensor, protected: int, strength: float, real: Tensor | None = None) -> Tensor:
    """Rows whose cosine of an even with an odd one is ``(cos(k_i, k_j) - g_i - g_j) / (2 + MOST^2)``.

    With ``w_i`` the attention token i gets over the mean of those behind the front, ``g_i = strength * w_i``, at most
    ``MOST``. A row is ``(k_i / |k_i|, -g_i, 1, s_i, 0)`` at even places and ``(k_j / |k_j|, 1, -g_j, 0, s_j)`` at odd
    ones, with ``s^2 = MOST^2 - g^2``: all are equally long, so that the cosine ranks as the difference does.

    Args:
        keys: ``(B, N, d)``.
        attention: ``(B, N)``, 0 for padding.
        protected: tokens in front that take no part.
        strength: how much attention counts against similarity.
        real: ``(B, N)`` bool, false for padding; ``None`` without padding.

    Returns:
        ``(B, N, d + 4)``, fp32.
    """
    x, n = unit(keys.float()), keys.shape[1]
    total = attention[:, protected:].float().sum(1, keepdim=True)
    count = n - protected if real is None else real[:, protected:].float().sum(1, keepdim=True).clamp(min=1.0)
    guard = (strength * count * attention.float() / total.clamp(min=torch.finfo(torch.float16).tiny)).clamp(max=MOST)
    rest = (MOST**2 - guard * guard).sqrt()
    odd = torch.tensor([float(i % 2) for i in range(n)], device=keys.device)
    even = 1.0 - odd
    extra = [even * -guard + odd, odd * -guard + even, even * rest, odd * rest]
    return torch.cat([x, torch.stack(extra, -1)], -1)
