"""Superpixels on a grid of tokens: soft k-means in which a token knows only the centres near it."""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok.graph.soft import SoftMap
from edgetok.graph.tiles import Tiles

Grid = tuple[int, int]
FAR = -3e4
"""Added to the score of a centre out of reach; finite in fp16."""
SHARPNESS = 10.0
"""The temperature where tokens are scaled to a mean squared distance of 1 from their mean."""
TINY = torch.finfo(torch.float16).tiny


def superpixels(
    hidden: Tensor, front: int, old: Grid, new: Grid, iterations: int, temperature: float | None, reach: int
) -> SoftMap:
    """The soft map from ``old`` to ``new`` grid cells.

    Args:
        hidden: ``(batch, front + H * W, C)``.
        front: tokens in front of the grid.
        old: rows and columns of the tokens.
        new: rows and columns of the superpixels.
        iterations: how often centres are computed again.
        temperature: of the soft assignment; if none, ``SHARPNESS`` for tokens that are scaled to be 1 apart.
        reach: how many cells away a centre may be.
    """
    inside = Tiles(front, old[0] * old[1], 1)
    x = inside.fold(hidden).float()
    if temperature is None:
        x, temperature = _scaled(x), SHARPNESS
    hidden_from = _out_of_reach(old, new, reach).to(x)
    centres = _cells(old, new).to(x) @ x
    shares = _shares(x, centres, temperature, hidden_from)
    for _ in range(iterations - 1):
        centres = _means(shares, x)
        shares = _shares(x, centres, temperature, hidden_from)
    back = _shares(x, _means(shares, x), temperature, hidden_from)
    keep, src, dst = (ids.to(hidden.device).expand(hidden.shape[0], -1) for ids in _nearest(front, old, new))
    return SoftMap(keep, src, dst, inside=inside, assign=shares, back=back)


def _scaled(x: Tensor) -> Tensor:
    """``(x - mean) / sqrt(mean |x - mean|^2)`` for each sample, with no square that overflows fp16."""
    centred = x - x.mean(1, keepdim=True)
    unit = centred / centred.abs().amax(2, keepdim=True).amax(1, keepdim=True).clamp(min=TINY)
    return unit * (unit * unit).sum(2, keepdim=True).mean(1, keepdim=True).clamp(min=TINY).rsqrt()


def _shares(x: Tensor, centres: Tensor, temperature: float, hidden_from: Tensor) -> Tensor:
    """``softmax(-t |x - c|^2)`` over the centres in reach; ``|x|^2`` is the same for all, and left out."""
    squares = (centres * centres).sum(-1).unsqueeze(1)
    return (temperature * (2 * x @ centres.transpose(1, 2) - squares) + hidden_from).softmax(-1)


def _means(shares: Tensor, x: Tensor) -> Tensor:
    weights = shares.sum(1, keepdim=True).clamp(min=TINY)
    return (shares / weights).transpose(1, 2) @ x


def _bounds(old: int, new: int) -> list[range]:
    """The rows that adaptive average pooling puts into each cell."""
    return [range(i * old // new, -(-(i + 1) * old // new)) for i in range(new)]


def _cells(old: Grid, new: Grid) -> Tensor:
    """``(M, N)`` the mean over each cell."""
    sides = []
    for before, after in zip(old, new, strict=True):
        side = torch.zeros(after, before)
        for i, rows in enumerate(_bounds(before, after)):
            side[i, rows.start : rows.stop] = 1 / len(rows)
        sides.append(side)
    return torch.kron(sides[0], sides[1])


def _places(old: Grid, new: Grid) -> tuple[Tensor, Tensor]:
    """For each token the row and the column of its own cell, ``(H, W)`` each."""
    rows, columns = (torch.arange(o) * n // o for o, n in zip(old, new, strict=True))
    grids = torch.meshgrid(rows, columns, indexing="ij")
    return grids[0], grids[1]


def _out_of_reach(old: Grid, new: Grid, reach: int) -> Tensor:
    """``(N, M)``: 0, or ``FAR`` where a centre is more than ``reach`` cells from a token's own."""
    rows, columns = (place.reshape(-1, 1) for place in _places(old, new))
    cells = torch.arange(new[0] * new[1])
    away = torch.maximum((rows - cells // new[1]).abs(), (columns - cells % new[1]).abs())
    return FAR * (away > reach).float()


def _nearest(front: int, old: Grid, new: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """The hard map: the token in the middle of each cell, all others, and the cell of each of those."""
    middle = [
        front + (2 * i + 1) * old[0] // (2 * new[0]) * old[1] + (2 * j + 1) * old[1] // (2 * new[1])
        for i in range(new[0])
        for j in range(new[1])
    ]
    rows, columns = _places(old, new)
    own = (front + rows * new[1] + columns).flatten().tolist()
    others = sorted(set(range(front, front + old[0] * old[1])) - set(middle))
    keep = torch.tensor([[*range(front), *middle]])
    return keep, torch.tensor([others]), torch.tensor([[own[i - front] for i in others]])
