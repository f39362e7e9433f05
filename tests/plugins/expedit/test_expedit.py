"""Expedit's superpixels against the definition written out, how they are rebuilt."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from edgetok.errors import BadOption
from edgetok.options import build
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject
from edgetok_plugins.expedit import Expedit
from edgetok_plugins.expedit.superpixels import SHARPNESS, superpixels


def tokens(rows: int, columns: int, front: int = 1) -> Tensor:
    return torch.randn(2, front + rows * columns, 3, generator=torch.Generator().manual_seed(rows))


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().sum())


def by_hand(x: Tensor, old: tuple, new: tuple, iterations: int, temperature: float, reach: int) -> tuple[list, list]:
    """Centres and the share of each token in each of them, one sample ``(N, C)``, token by token."""
    places = [(i, j) for i in range(old[0]) for j in range(old[1])]
    cells = [(i, j) for i in range(new[0]) for j in range(new[1])]

    def covers(cell: int, place: int, axis: int) -> bool:
        low, high = cell * old[axis] / new[axis], (cell + 1) * old[axis] / new[axis]
        return math.floor(low) <= place < math.ceil(high)

    centres = []
    for cell in cells:
        inside = [x[n] for n, place in enumerate(places) if all(covers(cell[k], place[k], k) for k in (0, 1))]
        centres.append(sum(inside) / len(inside))
    shares: list[list[float]] = []
    for _ in range(iterations):
        shares = []
        for n, place in enumerate(places):
            own = [place[k] * new[k] // old[k] for k in (0, 1)]
            near = [max(abs(cell[k] - own[k]) for k in (0, 1)) <= reach for cell in cells]
            weights = [
                math.exp(-temperature * distance(x[n], c)) if close else 0.0
                for c, close in zip(centres, near, strict=True)
            ]
            shares.append([w / sum(weights) for w in weights])
        totals = [sum(row[m] for row in shares) for m in range(len(cells))]
        centres = [sum(shares[n][m] * x[n] for n in range(len(x))) / totals[m] for m in range(len(cells))]
    return centres, shares


@pytest.mark.parametrize(("old", "new", "reach"), [((5, 4), (3, 2), 1), ((6, 6), (3, 3), 0), ((4, 4), (4, 4), 2)])
def test_superpixels_are_those_of_the_definition(old, new, reach):
    x = tokens(*old)
    found = superpixels(x, 1, old, new, 3, 0.7, reach)
    merged = found.reduce(x, None, "mean")
    for i in range(2):
        centres, shares = by_hand(x[i, 1:].double(), old, new, 3, 0.7, reach)
        torch.testing.assert_close(merged[i, 1:].double(), torch.stack(centres), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.assign[i].double(), torch.tensor(shares).double(), rtol=1e-4, atol=1e-5)
    assert torch.equal(merged[:, :1], x[:, :1])


def test_sizes_add_up_and_shares_are_whole():
    x, sizes = tokens(5, 5), torch.rand(2, 26) + 0.5
    found = superpixels(x, 1, (5, 5), (2, 3), 5, 0.1, 2)
    torch.testing.assert_close(found.reduce(sizes.unsqueeze(-1), None, "sum").sum(1), sizes.sum(1, keepdim=True))
    for matrix in (found.assign, found.back):
        torch.testing.assert_close(matrix.sum(2), torch.ones(2, 25))


def test_equal_tokens_come_back_as_they_were():
    x = torch.randn(1, 1, 3).repeat(1, 25, 1)
    found = superpixels(x, 0, (5, 5), (3, 3), 5, 0.1, 2)
    torch.testing.assert_close(found.restore(found.reduce(x, None, "mean"), 25), x)


def test_well_apart_patches_come_back_sharply():
    x = torch.arange(4.0).mul(100).repeat_interleave(2).repeat_interleave(8, 0).reshape(1, 8, 8, 1)
    x = (x + 400 * torch.arange(4.0).repeat_interleave(2)[None, :, None, None].mul(10)).reshape(1, 64, 1)
    found = superpixels(x, 0, (8, 8), (4, 4), 5, 0.01, 2)
    back = found.restore(found.reduce(x, None, "mean"), 64)
    assert float((back - x).abs().max()) < 100


def test_it_acts_once_on_the_whole_grid():
    plan = Trial(Expedit(side=0.6), subject(zoo.vit)).plan
    assert plan.tokens == (26, 10, 10, 10)
    assert [d.note for d in plan.decisions] == ["5 x 5 patches become 3 x 3", None, None]


@pytest.mark.parametrize("options", [{"side": 0.0}, {"side": 1.5}, {"layer": -1}, {"temperature": 0}, {"reach": -1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(BadOption):
        build(Expedit, options, "expedit")


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
def test_by_default_the_scale_of_hidden_states_is_no_matter(scale):
    """Clusters of patches stay apart, where one temperature for all would blur them or choose at random."""
    x = tokens(6, 6)
    wanted = superpixels(x, 1, (6, 6), (3, 3), 5, None, 2)
    found = superpixels(scale * (x + 5), 1, (6, 6), (3, 3), 5, None, 2)
    torch.testing.assert_close(found.assign, wanted.assign, rtol=1e-3, atol=1e-4)
    squares = (x[:, 1:] - x[:, 1:].mean(1, keepdim=True)).square().sum(2).mean(1)
    for i in range(2):
        alone = superpixels(x[i : i + 1], 1, (6, 6), (3, 3), 5, SHARPNESS / float(squares[i]), 2)
        torch.testing.assert_close(wanted.assign[i : i + 1], alone.assign, rtol=1e-3, atol=1e-4)
