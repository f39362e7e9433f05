"""The even/odd bipartition of a token sequence behind a protected prefix, and exact 0/1 arithmetic on it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

STEP_SCALE = {torch.float16: 2.0**14}
"""The factor of :func:`step` where 2**100 would overflow; fp16 computations need their own."""


def sides(n: int, protected: int) -> tuple[range, range]:
    """Old indices of the sources (even) and the destinations (odd) among ``n`` tokens.

    Args:
        n: tokens in the sequence.
        protected: length of the prefix that takes no part.
    """
    return range(protected + protected % 2, n, 2), range(protected + 1 - protected % 2, n, 2)


def max_r(n: int, protected: int) -> int:
    """The most tokens that one bipartite matching of ``n`` tokens can merge away."""
    evens, odds = sides(n, protected)
    return len(evens) if odds else 0


def check_match(n: int, r: int, protected: int, order: str) -> None:
    """Refuse a matching that cannot be done.

    Raises:
        ValueError: with the values that do not fit.
    """
    if order not in ("reference", "kept"):
        raise ValueError(f"order must be 'reference' or 'kept', not {order!r}")
    if not 0 <= protected <= n:
        raise ValueError(f"protected={protected} does not fit {n} tokens")
    if not 0 <= r <= max_r(n, protected):
        raise ValueError(
            f"r={r} does not fit: {n} tokens, {protected} protected, leave 0 <= r <= {max_r(n, protected)}"
        )


def split(x: Tensor, protected: int) -> tuple[Tensor, Tensor]:
    """``x [B, N, d]`` as its unprotected even rows and odd rows, by a reshape and unit-stride slices."""
    batch, n, width = x.shape
    start = protected - protected % 2
    pairs = F.pad(x[:, start:], (0, 0, 0, (n - start) % 2)).reshape(batch, -1, 2 * width)
    return pairs[:, protected % 2 :, :width], pairs[:, : len(sides(n, protected)[1]), width:]


def step(t: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """1 where ``t > 0``, else 0, in the dtype of ``t`` and without a comparison.

    Scaled and clamped twice, so that the smallest subnormal difference still reaches 1.

    Args:
        t: any finite floating tensor.
        dtype: the dtype that will compute this, where it is not ``t``'s own (a graph converted later).
    """
    scale = STEP_SCALE.get(dtype or t.dtype, 2.0**100)
    return ((t * scale).clamp(-1.0, 1.0) * scale).clamp(0.0, 1.0)


def unit(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Rows of ``x [..., d]`` at length 1 (0 stays 0), by a reciprocal square root.

    For fp16 each row is first scaled to a largest entry of 1, so that no square overflows or vanishes.
    """
    floor = 1e-30
    if dtype == torch.float16:
        x, floor = x / x.abs().amax(-1, keepdim=True).clamp(min=2.0**-14), 2.0**-14
    return x * (x * x).sum(-1, keepdim=True).clamp(min=floor).rsqrt()


def iota(start: int, stop: int, like: Tensor, every: int = 1) -> Tensor:
    """``[start, start + every, ...)`` with the dtype and device of ``like``."""
    return torch.arange(start, stop, every, dtype=like.dtype, device=like.device)


def one_hot(ids: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """``ids [B, k]`` as rows of 0/1 ``[B, k, n]``; an id outside ``0..n-1`` (such as -1) gives a row of zeros.

    Integer-valued floats (the sort-free carriage) are turned by ``clamp(1 - |id - j|, 0, 1)``, integers by equality.
    """
    if not ids.is_floating_point():
        return (ids.unsqueeze(-1) == torch.arange(n, device=ids.device)).to(dtype)
    return (1 - (ids.unsqueeze(-1) - iota(0, n, ids)).abs()).clamp(0, 1).to(dtype)


def as_index(ids: Tensor) -> Tensor:
    """Ids as int64, whichever way they are carried."""
    return ids if ids.dtype == torch.int64 else ids.round().to(torch.int64)
