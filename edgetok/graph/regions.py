"""Token maps within rectangles of a grid: what :mod:`edgetok.graph.tiles` does for runs, in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from edgetok.graph.tiles import Tiles
from edgetok.graph.tokens import TokenMap


@dataclass(frozen=True)
class Regions:
    """Rectangles of equal size that cover a grid of tokens, row by row; the grid lies behind a front part.

    Attributes:
        front: tokens in front of the grid.
        rows, columns: of the grid.
        height, width: of a region; they divide the grid.
    """

    front: int
    rows: int
    columns: int
    height: int
    width: int

    @property
    def count(self) -> int:
        """How many regions."""
        return self.rows * self.columns // self.size

    @property
    def size(self) -> int:
        """Tokens in each."""
        return self.height * self.width

    @property
    def _grid(self) -> Tiles:
        return Tiles(self.front, self.rows * self.columns, 1)

    def fold(self, x: Tensor) -> Tensor:
        """``(batch, tokens, c) -> (batch * count, size, c)``; no step has more than four axes."""
        c = x.shape[2]
        bands = self._grid.fold(x).reshape(-1, self.height, self.columns // self.width, self.width * c)
        return bands.transpose(1, 2).reshape(-1, self.size, c)

    def gathered(self, inner: Tensor, x: Tensor) -> Tensor:
        """``(batch * count, k, ...)`` in place of the grid of ``x``, region after region."""
        return self._grid.between(inner.reshape(-1, self.count * inner.shape[1], *inner.shape[2:]), x)

    def unfold(self, inner: Tensor, y: Tensor, k: int) -> Tensor:
        """``(batch * count, size, c)`` as the grid again, in place of the ``k`` tokens a region has in ``y``."""
        c = inner.shape[2]
        bands = inner.reshape(-1, self.columns // self.width, self.height, self.width * c).transpose(1, 2)
        return Tiles(self.front, k, self.count).between(bands.reshape(-1, self.rows * self.columns, c), y)


@dataclass(frozen=True)
class RegionMap(TokenMap):
    """One token map per region, regions taken as samples of their own; the new tokens come region after region.

    Attributes:
        regions: where they lie among the old tokens.
        inner: the map of ``(batch * count)`` samples of ``size`` tokens, hard or soft; it drops nothing.
    """

    regions: Regions = field(kw_only=True)
    inner: TokenMap = field(kw_only=True)

    @classmethod
    def over(cls, x: Tensor, regions: Regions, inner: TokenMap) -> RegionMap:
        """The map of the tokens of ``x (batch, N, c)`` that does ``inner`` in every region."""
        every = torch.arange(x.shape[1], device=x.device).expand(x.shape[0], -1)
        places, k = regions.fold(every.unsqueeze(-1)), inner.keep.shape[1]
        kept, gone = (
            TokenMap.pruning(ids).reduce(places, None, "first").squeeze(-1) for ids in (inner.keep, inner.src)
        )
        return cls(
            regions.gathered(kept, every),
            gone.reshape(-1, regions.count * gone.shape[1]),
            Tiles(regions.front, regions.size, regions.count).shifted(inner.dst, k),
            inner.features,
            regions=regions,
            inner=inner,
        )

    def window(self, start: int, stop: int) -> RegionMap:
        """The map of the new tokens ``[start, stop)``; only whole parts in front and at the end may be left out."""
        return self._moved(super().window(start, stop), -start)

    def preceded_by(self, extra: int) -> RegionMap:
        """The same map behind ``extra`` more tokens, unchanged."""
        return self._moved(super().preceded_by(extra), extra)

    def _moved(self, plain: TokenMap, by: int) -> RegionMap:
        regions = replace(self.regions, front=self.regions.front + by)
        return RegionMap(plain.keep, plain.src, plain.dst, self.features, regions=regions, inner=self.inner)

    def reduce(self, x: Tensor, sizes: Tensor | None, how: str) -> Tensor:
        """``(batch, N, c) -> (batch, M, c)``, region by region."""
        weights = None if sizes is None else self.regions.fold(sizes.unsqueeze(-1)).squeeze(-1)
        return self.regions.gathered(self.inner.reduce(self.regions.fold(x), weights, how), x)

    def restore(self, y: Tensor, old: int, dropped: Tensor | None = None) -> Tensor:
        """``(batch, M, c) -> (batch, old, c)``, region by region; nothing was dropped."""
        k = self.inner.keep.shape[1]
        new = Tiles(self.regions.front, k, self.regions.count)
        return self.regions.unfold(self.inner.restore(new.fold(y), self.regions.size), y, k)

    @property
    def local(self) -> bool:
        """Maps that stay in their region are inverted one by one."""
        return True

    @property
    def soft(self) -> bool:
        """Whether the maps of regions are."""
        return self.inner.soft
