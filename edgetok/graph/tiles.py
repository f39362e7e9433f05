"""Token maps that never leave their tile: linear in the number of tokens in every realisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from edgetok import ops
from edgetok.graph.tokens import TokenMap


@dataclass(frozen=True)
class Tiles:
    """Runs of neighbouring tokens of equal length behind a front part; what is left over stays at the end.

    Attributes:
        front: tokens in front that are in no tile.
        size: tokens per tile.
        count: how many tiles.
    """

    front: int
    size: int
    count: int

    @classmethod
    def of(cls, tokens: int, front: int, size: int) -> Tiles:
        """About ``size`` tokens per tile, so that fewer tokens are left over than there are tiles."""
        count = max(round((tokens - front) / size), 1)
        return cls(front, (tokens - front) // count, count)

    def fold(self, x: Tensor) -> Tensor:
        """``(batch, tokens, ...) -> (batch * count, size, ...)``."""
        inner = x[:, self.front : self.front + self.size * self.count]
        return inner.reshape(-1, self.size, *x.shape[2:])

    def unfold(self, inner: Tensor, x: Tensor) -> Tensor:
        """Tiles ``(batch * count, k, ...)`` put in place of those of ``x``, which had ``size`` tokens each."""
        return self.between(inner.reshape(-1, self.count * inner.shape[1], *inner.shape[2:]), x)

    def between(self, middle: Tensor, x: Tensor) -> Tensor:
        """``middle`` with what ``x`` has in front of its tiles and behind them."""
        end = self.front + self.size * self.count
        parts = [x[:, : self.front]] if self.front else []
        parts += [middle, x[:, end:]] if end < x.shape[1] else [middle]
        return torch.cat(parts, 1) if len(parts) > 1 else middle

    def shifted(self, ids: Tensor, size: int) -> Tensor:
        """Ids within tiles of ``size`` tokens ``(batch * count, k)`` as ids in the sequence ``(batch, count * k)``."""
        starts = self.front + size * torch.arange(self.count, device=ids.device)
        return (ids.reshape(-1, self.count, ids.shape[1]) + starts.unsqueeze(1)).flatten(1)


@dataclass(frozen=True)
class TiledMap(TokenMap):
    """One token map per tile, tiles taken as samples of their own; ``keep``, ``src`` and ``dst`` say the same globally.

    Attributes:
        tiles: where the tiles lie among the old tokens.
        inner: the map of ``(batch * count)`` samples of ``size`` tokens; it drops nothing.
    """

    tiles: Tiles = field(kw_only=True)
    inner: TokenMap = field(kw_only=True)

    @classmethod
    def over(cls, tokens: int, tiles: Tiles, inner: TokenMap) -> TiledMap:
        """The map of ``tokens`` old tokens that does ``inner`` in every tile."""
        keep, src = (tiles.shifted(ids, tiles.size) for ids in (inner.keep, inner.src))
        every = torch.arange(tokens, device=keep.device).expand(keep.shape[0], -1)
        dst = tiles.shifted(inner.dst, inner.keep.shape[1])
        return cls(tiles.between(keep, every), src, dst, inner.features, tiles=tiles, inner=inner)

    def window(self, start: int, stop: int) -> TiledMap:
        """The map of the new tokens ``[start, stop)``; only whole parts in front and at the end may be left out."""
        plain, tiles = super().window(start, stop), replace(self.tiles, front=self.tiles.front - start)
        return TiledMap(plain.keep, plain.src, plain.dst, self.features, tiles=tiles, inner=self.inner)

    def preceded_by(self, extra: int) -> TiledMap:
        """The same map behind ``extra`` more tokens, unchanged."""
        plain, tiles = super().preceded_by(extra), replace(self.tiles, front=self.tiles.front + extra)
        return TiledMap(plain.keep, plain.src, plain.dst, self.features, tiles=tiles, inner=self.inner)

    def reduce(self, x: Tensor, sizes: Tensor | None, how: str) -> Tensor:
        """``(batch, N, c) -> (batch, M, c)``, tile by tile."""
        weights = None if sizes is None else self.tiles.fold(sizes)
        return self.tiles.unfold(self.inner.reduce(self.tiles.fold(x), weights, how), x)

    def restore(self, y: Tensor, old: int, dropped: Tensor | None = None) -> Tensor:
        """``(batch, M, c) -> (batch, old, c)``, tile by tile; nothing was dropped."""
        new = replace(self.tiles, size=self.inner.keep.shape[1])
        inner = ops.restore(new.fold(y), self.inner.destinations(self.tiles.size))
        return new.unfold(inner, y)

    @property
    def local(self) -> bool:
        """Maps that stay in their tile are inverted one by one."""
        return True


Match = Callable[[Tensor, Tensor | None], TokenMap]


def tiled(tokens: int, tiles: Tiles, metric: Tensor, sizes: Tensor | None, match: Match) -> TiledMap:
    """The map that a matching makes in every tile.

    Args:
        tokens: N.
        tiles: where they lie.
        metric: ``(batch, N, d)``.
        sizes: ``(batch, N)``, or None where all tokens are real.
        match: a metric ``(samples, size, d)`` and its sizes -> their map.
    """
    inner = match(tiles.fold(metric), None if sizes is None else tiles.fold(sizes))
    return TiledMap.over(tokens, tiles, inner)
