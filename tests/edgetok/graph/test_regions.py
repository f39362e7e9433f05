"""Regions of a grid: folding back and forth, and maps that say the same as their ids."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetok import ops
from edgetok.graph import TokenMap
from edgetok.graph.regions import RegionMap, Regions

SIDES = st.integers(1, 3)


@given(st.integers(0, 2), SIDES, SIDES, SIDES, SIDES)
def test_a_region_is_a_rectangle_of_the_grid(front: int, down: int, across: int, height: int, width: int) -> None:
    regions = Regions(front, down * height, across * width, height, width)
    grid = torch.arange(2 * regions.rows * regions.columns).reshape(2, regions.rows, regions.columns)
    x = torch.cat([torch.full((2, front), -1), grid.flatten(1)], 1).unsqueeze(-1)
    folded = regions.fold(x)
    want = [
        grid[b, i * height : (i + 1) * height, j * width : (j + 1) * width].flatten()
        for b in range(2)
        for i in range(down)
        for j in range(across)
    ]
    assert torch.equal(folded.squeeze(-1), torch.stack(want))
    assert torch.equal(regions.unfold(folded, x, regions.size), x)


def example(front: int, extra: int) -> tuple[torch.Tensor, RegionMap]:
    regions = Regions(front, 4, 6, 2, 3)
    x = torch.randn(2, front + 24 + extra, 5, generator=torch.Generator().manual_seed(front))
    inner = TokenMap(*ops.bipartite_match(regions.fold(x), None, 2, 0, "kept"))
    return x, RegionMap.over(x, regions, inner)


@given(st.integers(0, 3), st.integers(0, 2))
@settings(max_examples=12)
def test_a_map_of_regions_does_what_its_ids_say(front: int, extra: int) -> None:
    x, found = example(front, extra)
    plain = TokenMap(found.keep, found.src, found.dst)
    for how in ("mean", "sum", "first"):
        torch.testing.assert_close(found.reduce(x, None, how), plain.reduce(x, None, how))
    y = found.reduce(x, None, "mean")
    assert torch.equal(found.restore(y, x.shape[1]), plain.restore(y, x.shape[1]))
    assert found.merged == 8
    assert found.merged + found.keep.shape[1] == x.shape[1]


def test_parts_in_front_come_and_go():
    x, found = example(1, 0)
    plain = TokenMap(found.keep, found.src, found.dst)
    longer = torch.cat([x[:, :2], x], 1)
    assert torch.equal(
        found.preceded_by(2).reduce(longer, None, "sum"), plain.preceded_by(2).reduce(longer, None, "sum")
    )
    left = found.keep.shape[1]
    assert torch.equal(found.window(1, left).reduce(x[:, 1:], None, "sum"), found.reduce(x, None, "sum")[:, 1:])
    assert torch.equal(found.preceded_by(2).window(2, left + 2).keep, found.keep)
