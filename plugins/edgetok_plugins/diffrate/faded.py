"""Merging in which a token adds to its group's size only as much as it resembles the token it goes to."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgetok.graph.tokens import Features, TokenMap
from edgetok.ops import Match
from edgetok.ops.layout import unit


@dataclass(frozen=True)
class FadedMap(TokenMap):
    """A hard map whose sizes shrink: a merged token's counts times its similarity.

    Attributes:
        alike: ``(batch, R)`` the cosine of each merged token with its representative, 0 where that is negative.
    """

    alike: Tensor = field(kw_only=True)

    @classmethod
    def of(cls, metric: Tensor, links: Match, features: Features) -> FadedMap:
        """The map of some links.

        Args:
            metric: ``(batch, N, C)``, what the links were found by.
            links: keep, src and dst, as ``TokenMap`` has them.
            features: how features are merged.
        """
        x, plain = unit(metric.float()), TokenMap(*links)
        into = TokenMap.pruning(plain.dst).reduce(plain.reduce(x, None, "first"), None, "first")
        alike = (TokenMap.pruning(plain.src).reduce(x, None, "first") * into).sum(-1)
        return cls(*links, features, alike=alike.clamp(min=0))

    def reduce(self, x: Tensor, sizes: Tensor | None, how: str) -> Tensor:
        """``(batch, N, c) -> (batch, M, c)``; the mode ``sum``, which is for sizes, counts merged tokens in part."""
        if how != "sum":
            return super().reduce(x, sizes, how)
        share = self.alike.to(x.dtype).unsqueeze(-1)
        ones = torch.ones_like(x[:, :, :1])
        return super().reduce(x * TokenMap.pruning(self.src).restore(share, x.shape[1], ones), sizes, how)
