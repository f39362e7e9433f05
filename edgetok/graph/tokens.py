"""Token maps: which old token every new token stands for, and what is merged into it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor

from edgetok import ops

Features = Literal["mean", "plain", "mlerp"]
"""How the features of merged tokens become one: their mean weighted by size, their plain mean, or the weighted mean
stretched to the length of the longest (MLERP)."""


@dataclass(frozen=True)
class TokenMap:
    """A hard assignment of N old tokens to M new ones, different for every sample.

    Attributes:
        keep: ``(batch, M)`` int64, the old token that represents each new one.
        src: ``(batch, R)`` int64, old tokens merged away; R may be 0.
        dst: ``(batch, R)`` int64, the new token each of them goes to.
        features: how features are merged.

    Old tokens in neither ``keep`` nor ``src`` are dropped.
    """

    keep: Tensor
    src: Tensor
    dst: Tensor
    features: Features = "mean"

    @classmethod
    def pruning(cls, keep: Tensor) -> TokenMap:
        """The map that keeps ``keep`` ``(batch, M)`` and drops all others."""
        return cls(keep, keep[:, :0], keep[:, :0])

    @property
    def merged(self) -> int:
        """R, the number of tokens merged away."""
        return int(self.src.shape[1])

    def window(self, start: int, stop: int) -> TokenMap:
        """The map of the new tokens ``[start, stop)`` alone; tokens before ``start`` must be unchanged."""
        return replace(self, keep=self.keep[:, start:stop] - start, src=self.src - start, dst=self.dst - start)

    def preceded_by(self, extra: int) -> TokenMap:
        """The same map for a sequence with ``extra`` more tokens, unchanged, in front of the mapped ones."""
        if extra == 0:
            return self
        front = torch.arange(extra, device=self.keep.device).expand(self.keep.shape[0], -1)
        return replace(self, keep=torch.cat([front, self.keep + extra], 1), src=self.src + extra, dst=self.dst + extra)

    def followed_by(self, old: int, extra: int) -> TokenMap:
        """The same map for a sequence with ``extra`` more tokens, unchanged, after the ``old`` mapped ones."""
        if extra == 0:
            return self
        tail = torch.arange(old, old + extra, device=self.keep.device).expand(self.keep.shape[0], -1)
        return replace(self, keep=torch.cat([self.keep, tail], 1))

    def after_pruning(self, kept: Tensor) -> TokenMap:
        """The same map for a sequence of which only ``kept`` ``(batch, N)`` were left before: all else is dropped."""
        return replace(self, keep=ops.compose(self.keep, kept), src=ops.compose(self.src, kept))

    def reduce(self, x: Tensor, sizes: Tensor | None, how: str) -> Tensor:
        """``(batch, N, c) -> (batch, M, c)``; ``how`` is a mode of ``edgetok.ops.reduce``.

        ``mean`` is for features, and heeds what ``features`` says.
        """
        if how != "mean" or self.features == "mean":
            return ops.reduce(x, sizes, self.keep, self.src, self.dst, cast(ops.Mode, how))
        if self.features == "plain":
            return ops.reduce(x, None if sizes is None else sizes.clamp(max=1), self.keep, self.src, self.dst)
        return self._mlerp(x, sizes)

    def _mlerp(self, x: Tensor, sizes: Tensor | None) -> Tensor:
        """The weighted mean at the length of the longest of its group; padding (size 0) has no length."""
        mean, lengths = ops.reduce(x, sizes, self.keep, self.src, self.dst), length(x)
        if sizes is not None:
            lengths = lengths * sizes.to(x.dtype).clamp(max=1).unsqueeze(-1)
        longest = ops.reduce(lengths, None, self.keep, self.src, self.dst, "max")
        return mean * (longest / length(mean).clamp(min=torch.finfo(torch.float16).tiny))

    def destinations(self, old: int) -> Tensor:
        """``(batch, old)`` int64: the new index of every old token, -1 where it was dropped."""
        return ops.destinations(self.keep, self.src, self.dst, old)

    def restore(self, y: Tensor, old: int, dropped: Tensor | None = None) -> Tensor:
        """``(batch, M, c) -> (batch, old, c)``: every old token has the value of its new one, or ``dropped``'s."""
        return ops.restore(y, self.destinations(old), dropped)

    @property
    def local(self) -> bool:
        """Whether it must be inverted by ``restore``, and not as part of one ``dest``; such a map drops nothing."""
        return False

    @property
    def soft(self) -> bool:
        """Whether restored tokens are mixtures of new ones, so that no average over them can be had from sizes."""
        return False


def length(x: Tensor) -> Tensor:
    """The lengths of rows ``(..., c)``, ``(..., 1)``; scaled first, so that no square overflows in half precision."""
    scale = x.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(torch.float16).tiny)
    scaled = x / scale
    return (scaled * scaled).sum(-1, keepdim=True).sqrt() * scale
