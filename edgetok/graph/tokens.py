"""Token maps: which old token every new token stands for, and what is merged into it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import edgetok.ops  # noqa: F401  registers the primitives


@dataclass(frozen=True)
class TokenMap:
    """A hard assignment of N old tokens to M new ones, different for every sample.

    Attributes:
        keep: ``(batch, M)`` int64, the old token that represents each new one.
        src: ``(batch, R)`` int64, old tokens merged away; R may be 0.
        dst: ``(batch, R)`` int64, the new token each of them goes to.

    Old tokens in neither ``keep`` nor ``src`` are dropped.
    """

    keep: Tensor
    src: Tensor
    dst: Tensor

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
        return TokenMap(self.keep[:, start:stop] - start, self.src - start, self.dst - start)

    def followed_by(self, old: int, extra: int) -> TokenMap:
        """The same map for a sequence with ``extra`` more tokens, unchanged, after the ``old`` mapped ones."""
        if extra == 0:
            return self
        tail = torch.arange(old, old + extra, device=self.keep.device).expand(self.keep.shape[0], -1)
        return TokenMap(torch.cat([self.keep, tail], 1), self.src, self.dst)

    def reduce(self, x: Tensor, sizes: Tensor | None, how: str) -> Tensor:
        """``(batch, N, c) -> (batch, M, c)``; ``how`` is ``"mean"``, ``"sum"`` or ``"first"``."""
        return torch.ops.edgetok.reduce(x, sizes, self.keep, self.src, self.dst, how)  # type: ignore[no-any-return]

    def destinations(self, old: int) -> Tensor:
        """``(batch, old)`` int64: the new index of every old token, -1 where it was dropped."""
        return torch.ops.edgetok.destinations(self.keep, self.src, self.dst, old)  # type: ignore[no-any-return]
