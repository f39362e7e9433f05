"""The levels that the weights of a group are rounded to, and rounding to the nearest of them.

With ``bits`` of at least 2, levels are ``s * (c - z)`` for codes ``c`` from 0, with an integer zero point ``z``: from
the least to the greatest weight of the group (and 0), narrowed to where the squared error is least. With one bit they
are ``+-mean |w|`` (XNOR-Net, https://arxiv.org/abs/1603.05279). Scales are rounded to float16 before anything is
rounded to them, because float16 is what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgetok_plugins.mc_moe.packing import PackedWeight, middle, pack

NARROWED = {2: (1.0, 0.8, 0.7, 0.6, 0.5), 3: (1.0, 0.9, 0.8, 0.7), 4: (1.0, 0.9), 8: (1.0,)}
"""Ranges tried at each width, as shares of the whole range: around what is best for normal weights in groups of 128."""
LEAST, MOST = 2.0**-24, 65504.0
"""The smallest and the largest positive float16."""


@dataclass(frozen=True)
class Grid:
    """Levels of one group in every row.

    Attributes:
        bits: their number is ``2 ** bits``.
        scale: float32 ``[out, 1]``, values that float16 holds.
        zero: float32 ``[out, 1]``, whole numbers; the middle where none is stored.
    """

    bits: int
    scale: Tensor
    zero: Tensor

    def codes(self, values: Tensor) -> Tensor:
        """The nearest level's code for each of ``values [out, n]``, float32."""
        return (values / self.scale + self.zero).round_().clamp_(0, (1 << self.bits) - 1)

    def values(self, codes: Tensor) -> Tensor:
        """The levels of ``codes``, float32."""
        return (codes - self.zero) * self.scale


@dataclass(frozen=True)
class _Signs(Grid):
    """Two levels; the sign decides, and zero is positive."""

    def codes(self, values: Tensor) -> Tensor:
        return (values >= 0).float()


def fit(values: Tensor, bits: int) -> Grid:
    """The grid of each row of ``values [out, n]`` (float32, one group)."""
    if bits == 1:
        scale = _storable(2 * values.abs().mean(1, keepdim=True))
        return _Signs(1, scale, torch.full_like(scale, middle(1)))
    low, high = values.amin(1, keepdim=True).clamp_(max=0), values.amax(1, keepdim=True).clamp_(min=0)
    top = (1 << bits) - 1
    best: Grid | None = None
    for share in NARROWED[bits]:
        scale = _storable((high - low) * share / top)
        grid = Grid(bits, scale, (-low * share / scale).round_().clamp_(0, top))
        error = (grid.values(grid.codes(values)) - values).square_().sum(1, keepdim=True)
        if best is None:
            best, least = grid, error
        else:
            better = error < least
            best = Grid(bits, torch.where(better, scale, best.scale), torch.where(better, grid.zero, best.zero))
            least = torch.minimum(least, error)
    assert best is not None
    return best


def collect(codes: Tensor, grids: list[Grid], group: int) -> PackedWeight:
    """Codes ``[out, in]`` and the grids of their groups, packed."""
    bits = grids[0].bits
    scale = torch.cat([grid.scale for grid in grids], dim=1).half()
    zero = torch.cat([grid.zero for grid in grids], dim=1).to(torch.uint8) if bits > 1 else None
    return pack(codes.to(torch.uint8), scale, zero, bits=bits, group=group)


def round_to_nearest(weight: Tensor, *, bits: int, group: int) -> PackedWeight:
    """Quantise ``weight [out, in]`` group by group, each weight for itself."""
    parts = torch.split(weight.float(), group, dim=1)
    grids = [fit(part, bits) for part in parts]
    return collect(torch.cat([grid.codes(part) for grid, part in zip(grids, parts, strict=True)], 1), grids, group)


def _storable(scale: Tensor) -> Tensor:
    """What float16 makes of scales; 1 where it would be nothing, as in a group of zeros."""
    kept = scale.clamp(max=MOST).half().float()
    return torch.where(kept < LEAST, torch.ones_like(kept), kept)
