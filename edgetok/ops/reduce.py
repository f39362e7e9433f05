"""Fewer tokens by a token map: size-weighted mean, sum, the largest, or the representative's entry.

The mean of a group is ``x'_m = x_keep[m] + sum_i (s_i / s'_m) (x_src_i - x_keep[m])`` with ``s'_m`` the group's
total size, so that untouched tokens are copied bit for bit and duplicates merge exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok.ops.layout import as_index, one_hot

MODES = ("mean", "sum", "max", "first")


def check_mode(mode: str, x: Tensor) -> None:
    """Refuse an unknown mode, and the largest of more than one value per token.

    Raises:
        ValueError: naming the modes, or the channels.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    if mode == "max" and x.shape[2] != 1:
        raise ValueError(f"mode 'max' takes one value per token [B, N, 1], not {x.shape[2]}")


def rows(x: Tensor, ids: Tensor) -> Tensor:
    """``x [B, N, C]`` at ``ids [B, k]``: ``[B, k, C]``."""
    return x.gather(1, ids.unsqueeze(-1).expand(-1, -1, x.shape[2]))


def add_rows(x: Tensor, ids: Tensor, delta: Tensor) -> Tensor:
    """``x [B, M, C]`` with ``delta [B, k, C]`` added at ``ids [B, k]``; an id may occur more than once."""
    return x.scatter_add(1, ids.unsqueeze(-1).expand(-1, -1, x.shape[2]), delta)


def weights(sizes: Tensor | None, keep: Tensor, src: Tensor, dst: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Each source's share of its group ``[B, r]``, and the group's total size at that source (1 where all are 0)."""
    if sizes is None:
        sizes = torch.ones((keep.shape[0], keep.shape[1] + src.shape[1]), dtype=dtype, device=keep.device)
        kept, gone = sizes[:, : keep.shape[1]], sizes[:, keep.shape[1] :]
    else:
        kept, gone = sizes.to(dtype).gather(1, keep), sizes.to(dtype).gather(1, src)
    total = kept.scatter_add(1, dst, gone).gather(1, dst)
    total = torch.where(total > 0, total, torch.ones_like(total))
    return gone / total, total


def gather_reduce(x: Tensor, sizes: Tensor | None, keep: Tensor, src: Tensor, dst: Tensor, mode: str) -> Tensor:
    """The reference realisation, by gather and scatter_add: see :func:`edgetok.ops.reduce`."""
    check_mode(mode, x)
    keep, src, dst = as_index(keep), as_index(src), as_index(dst)
    base = rows(x, keep)
    if mode == "first" or src.shape[1] == 0:
        return base
    if mode == "sum":
        return add_rows(base, dst, rows(x, src))
    if mode == "max":
        return base.scatter_reduce(1, dst.unsqueeze(-1), rows(x, src), "amax")
    share, _ = weights(sizes, keep, src, dst, x.dtype)
    return add_rows(base, dst, share.unsqueeze(-1) * (rows(x, src) - rows(base, dst)))


def pick(picks: Tensor, x: Tensor) -> Tensor:
    """0/1 ``picks [B, k, n]`` times ``x [B, n, C]`` in the dtype of ``x``.

    Infinities become the largest finite values (0 * inf is nan); integers are exact up to 2**24.
    """
    if x.is_floating_point():
        limit = torch.finfo(x.dtype)
        return picks.to(x.dtype) @ x.clamp(limit.min, limit.max)
    chosen = picks.float() @ x.float()
    return chosen > 0.5 if x.dtype == torch.bool else chosen.round().to(x.dtype)


def one_hot_reduce(x: Tensor, sizes: Tensor | None, keep: Tensor, src: Tensor, dst: Tensor, mode: str) -> Tensor:
    """The same by one-hot matmul: no gather, no scatter. ``x`` must be finite except in mode ``first``."""
    check_mode(mode, x)
    n, m = x.shape[1], keep.shape[1]
    picks = one_hot(keep, n, torch.float32)
    if mode == "first" or src.shape[1] == 0:
        return pick(picks, x)
    picks = picks.to(x.dtype)
    gone, into = one_hot(src, n, x.dtype), one_hot(dst, m, x.dtype).transpose(1, 2)
    base, moved = picks @ x, gone @ x
    if mode == "sum":
        return base + into @ moved
    if mode == "max":
        above = (into * (moved.transpose(1, 2) - base)).clamp(min=0)
        return base + above.amax(-1, keepdim=True)
    column = torch.ones_like(x[..., :1]) if sizes is None else sizes.to(x.dtype).unsqueeze(-1)
    size = gone @ column
    total = into.transpose(1, 2) @ (picks @ column + into @ size)
    return base + into @ (size / total.clamp(min=torch.finfo(x.dtype).tiny) * (moved - into.transpose(1, 2) @ base))
