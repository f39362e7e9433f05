"""Soft token maps: every new token is a weighted mean of many old ones, and the other way round."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from edgetok.graph.tiles import Tiles
from edgetok.graph.tokens import TokenMap


@dataclass(frozen=True)
class SoftMap(TokenMap):
    """A map with a weight matrix, for the tokens between a front part and a rest; those are copied.

    ``keep``, ``src`` and ``dst`` are the hard map nearest to it: its representatives give positions and masks, and
    ``src`` holds all others, so that nothing counts as dropped.

    Attributes:
        inside: the N tokens that are mapped, as one tile.
        assign: ``(batch, N, M)`` the share of each old token that goes to each new one; rows sum to 1.
        back: ``(batch, N, M)`` of which new tokens each old one is made again; rows sum to 1.
    """

    inside: Tiles = field(kw_only=True)
    assign: Tensor = field(kw_only=True)
    back: Tensor = field(kw_only=True)

    def window(self, start: int, stop: int) -> SoftMap:
        """The map of the new tokens ``[start, stop)``; only whole parts in front and at the end may be left out."""
        plain, inside = super().window(start, stop), replace(self.inside, front=self.inside.front - start)
        return replace(self, keep=plain.keep, src=plain.src, dst=plain.dst, inside=inside)

    def preceded_by(self, extra: int) -> SoftMap:
        """The same map behind ``extra`` more tokens, unchanged."""
        plain, inside = super().preceded_by(extra), replace(self.inside, front=self.inside.front + extra)
        return replace(self, keep=plain.keep, src=plain.src, dst=plain.dst, inside=inside)

    def reduce(self, x: Tensor, sizes: Tensor | None, how: str) -> Tensor:
        """``(batch, N, c) -> (batch, M, c)``: ``mean`` and ``sum`` by the matrix, ``first`` by representatives."""
        if how not in ("mean", "sum"):
            return super().reduce(x, sizes, how)
        share = self.assign.to(x.dtype)
        if how == "mean":
            share = share if sizes is None else share * self.inside.fold(sizes).to(x.dtype).unsqueeze(-1)
            share = share / share.sum(1, keepdim=True).clamp(min=torch.finfo(torch.float16).tiny)
        return self.inside.unfold(share.transpose(1, 2) @ self.inside.fold(x), x)

    def restore(self, y: Tensor, old: int, dropped: Tensor | None = None) -> Tensor:
        """``(batch, M, c) -> (batch, old, c)`` by the matrix ``back``."""
        new = replace(self.inside, size=self.back.shape[2])
        return new.unfold(self.back.to(y.dtype) @ new.fold(y), y)

    @property
    def local(self) -> bool:
        """Matrices are applied one after the other."""
        return True

    @property
    def soft(self) -> bool:
        """A mean over restored tokens is no mean weighted by size."""
        return True
