"""The map from a grid of tokens to a coarser one, with nothing chosen: reshapes, and the first entry or the mean."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from edgetok.graph.tiles import Tiles
from edgetok.graph.tokens import TokenMap

Grid = tuple[int, int]


@dataclass(frozen=True)
class Sampled(TokenMap):
    """Every cell of ``factor x factor`` tokens becomes its first one, or the mean of all.

    Attributes:
        inside: the grid, as one tile.
        columns: of the grid.
        factor: tokens per side of a cell.
        pooled: whether features become the mean.
    """

    inside: Tiles = field(kw_only=True)
    columns: int = field(kw_only=True)
    factor: int = field(kw_only=True)
    pooled: bool = field(kw_only=True)

    def window(self, start: int, stop: int) -> Sampled:
        """The map of the new tokens ``[start, stop)``; only whole parts in front and at the end may be left out."""
        return self._moved(super().window(start, stop), -start)

    def preceded_by(self, extra: int) -> Sampled:
        """The same map behind ``extra`` more tokens, unchanged."""
        return self._moved(super().preceded_by(extra), extra)

    def _moved(self, plain: TokenMap, by: int) -> Sampled:
        inside = replace(self.inside, front=self.inside.front + by)
        return replace(self, keep=plain.keep, src=plain.src, dst=plain.dst, inside=inside)

    def reduce(self, x: Tensor, sizes: Tensor | None, how: str) -> Tensor:
        """``(batch, N, c) -> (batch, M, c)``: ``mean`` as ``pooled`` says, ``sum`` of all, else the first entry."""
        cells, summed = self.inside.fold(x), how == "sum"
        mean = summed or (how == "mean" and self.pooled)
        for width in (self.columns * x.shape[2], x.shape[2]):
            runs = cells.reshape(-1, self.factor, width)
            cells = runs.mean(1) if mean else runs.select(1, 0)
        cells = cells.reshape(-1, self.inside.size // self.factor**2, x.shape[2])
        return self.inside.unfold(cells * self.factor**2 if summed else cells, x)

    def restore(self, y: Tensor, old: int, dropped: Tensor | None = None) -> Tensor:
        """``(batch, M, c) -> (batch, old, c)``: every token has the value of its cell."""
        new, c = Tiles(self.inside.front, self.inside.size // self.factor**2, 1), y.shape[2]
        cells = new.fold(y).reshape(-1, 1, c).expand(-1, self.factor, -1).reshape(-1, 1, self.columns * c)
        return new.between(cells.expand(-1, self.factor, -1).reshape(-1, self.inside.size, c), y)

    @property
    def local(self) -> bool:
        """It is inverted by reshapes, not by ids."""
        return True


def sampled(x: Tensor, front: int, grid: Grid, factor: int, *, pooled: bool) -> Sampled:
    """The map of the tokens of ``x (batch, front + rows * columns, c)`` to cells; ``factor`` divides both sides."""
    rows, columns = grid
    places = [(i, j) for i in range(rows) for j in range(columns)]
    first = [place for place in places if place[0] % factor == place[1] % factor == 0]
    rest = [place for place in places if not place[0] % factor == place[1] % factor == 0]
    keep = [*range(front), *(front + i * columns + j for i, j in first)]
    src = [front + i * columns + j for i, j in rest]
    dst = [front + i // factor * (columns // factor) + j // factor for i, j in rest]

    def ids(each: list[int]) -> Tensor:
        return torch.tensor([each], dtype=torch.int64, device=x.device).expand(x.shape[0], -1)

    return Sampled(
        ids(keep),
        ids(src),
        ids(dst),
        inside=Tiles(front, rows * columns, 1),
        columns=columns,
        factor=factor,
        pooled=pooled,
    )
