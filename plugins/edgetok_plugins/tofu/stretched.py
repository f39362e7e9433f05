"""MLERP as its public re-implementation has it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgetok.graph.tokens import TokenMap, length


@dataclass(frozen=True)
class StretchedMap(TokenMap):
    """A hard map whose groups become ``m / |d| * max_i |x_i|``: m their mean by size, d the destination before."""

    def reduce(self, x: Tensor, sizes: Tensor | None, how: str) -> Tensor:
        """``(batch, N, c) -> (batch, M, c)``; only ``mean``, which is for features, differs."""
        mean = super().reduce(x, sizes, how)
        if how != "mean":
            return mean
        lengths = length(x)
        before = super().reduce(lengths, None, "first").clamp(min=torch.finfo(torch.float16).tiny)
        if sizes is not None:
            lengths = lengths * sizes.to(x.dtype).clamp(max=1).unsqueeze(-1)
        return mean * (super().reduce(lengths, None, "max") / before)
