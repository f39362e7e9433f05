"""Back to the old tokens, and token maps as one vector: ``dest[old] -> new``, -1 where dropped."""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok.ops.layout import as_index, iota, one_hot
from edgetok.ops.reduce import pick, rows


def gather_destinations(keep: Tensor, src: Tensor, dst: Tensor, n: int) -> Tensor:
    """The reference realisation, by scatter: see :func:`edgetok.ops.destinations`."""
    keep, src, dst = as_index(keep), as_index(src), as_index(dst)
    dest = torch.full((keep.shape[0], n), -1, dtype=torch.int64, device=keep.device)
    new = torch.arange(keep.shape[1], device=keep.device).expand(keep.shape[0], -1)
    return dest.scatter(1, keep, new).scatter(1, src, dst)


def one_hot_destinations(keep: Tensor, src: Tensor, dst: Tensor, n: int) -> Tensor:
    """The same by one-hot matmul; returns integer-valued floats."""
    kept = one_hot(keep, n, torch.float32).transpose(1, 2)
    gone = one_hot(src, n, torch.float32).transpose(1, 2)
    new = iota(1, keep.shape[1] + 1, kept)
    if src.shape[1] == 0:
        return kept @ new - 1
    return kept @ new + (gone @ (dst.to(gone.dtype) + 1).unsqueeze(-1)).squeeze(-1) - 1


def gather_restore(y: Tensor, dest: Tensor, dropped: Tensor | None) -> Tensor:
    """The reference realisation, by gather: see :func:`edgetok.ops.restore`."""
    dest = as_index(dest)
    values = rows(y, dest.clamp(min=0))
    other = torch.zeros_like(values) if dropped is None else dropped
    return torch.where((dest >= 0).unsqueeze(-1), values, other)


def one_hot_restore(y: Tensor, dest: Tensor, dropped: Tensor | None) -> Tensor:
    """The same by one-hot matmul."""
    values = pick(one_hot(dest, y.shape[1], torch.float32), y)
    if dropped is None:
        return values
    gone = (-dest.float()).clamp(0, 1).unsqueeze(-1)
    if y.is_floating_point():
        return values + gone.to(y.dtype) * dropped
    return torch.where(gone > 0, dropped, values)


def gather_compose(first: Tensor, second: Tensor) -> Tensor:
    """The reference realisation, by gather: see :func:`edgetok.ops.compose`."""
    first, second = as_index(first), as_index(second)
    return torch.where(first >= 0, second.gather(1, first.clamp(min=0)), -1)


def one_hot_compose(first: Tensor, second: Tensor) -> Tensor:
    """The same by one-hot matmul; returns integer-valued floats."""
    picks = one_hot(first, second.shape[1], torch.float32)
    return (picks @ (second.to(picks.dtype) + 1).unsqueeze(-1)).squeeze(-1) - 1
