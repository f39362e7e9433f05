"""Local merging: Token Merging tile by tile, linear in the number of tokens."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgetok.graph.signals import Signals
from edgetok.graph.tiles import Tiles
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject
from edgetok_plugins.local_merge import LocalMerge


def signals(x: Tensor, protected: int = 1, sizes: Tensor | None = None) -> Signals:
    site = subject(zoo.vit).sites[0]
    return Signals(site, x, sizes, x.shape[1], protected, sizes is not None, lambda which: x.unsqueeze(1))


def by_hand(x: Tensor, front: int, tile: range, r: int, order: str) -> tuple[list[int], list[tuple[int, int]]]:
    """One tile: the old tokens left, in order, and which merges into which."""
    links = []
    for a in tile[0::2]:
        cosine = {b: float(x[a] @ x[b] / x[a].norm() / x[b].norm()) for b in tile[1::2]}
        best = max(cosine, key=cosine.__getitem__)
        links.append((-cosine[best], a, best))
    chosen = [(a, b) for _, a, b in sorted(links)[:r]]
    gone = {a for a, _ in chosen}
    left = [i for i in tile if i not in gone]
    if order == "reference":
        left = [i for i in tile[0::2] if i not in gone] + [*tile[1::2]]
    return left, chosen


@given(st.integers(0, 2**31), st.integers(8, 30), st.integers(0, 2), st.sampled_from(["reference", "kept"]))
@settings(max_examples=60)
def test_every_tile_merges_on_its_own(seed: int, n: int, front: int, order: str) -> None:
    x = torch.randn(2, n, 5, generator=torch.Generator().manual_seed(seed))
    plugin = LocalMerge(r=6, tile=7, order=order)
    tiles = Tiles.of(n, front, 7)
    each = min(6 // tiles.count, tiles.size // 2)
    found = plugin.reduce(signals(x, front), n - each * tiles.count)
    for i in range(2):
        keep, links = [*range(front)], set()
        for t in range(tiles.count):
            start = front + t * tiles.size
            left, chosen = by_hand(x[i].double(), front, range(start, start + tiles.size), each, order)
            keep, links = keep + left, links | set(chosen)
        keep += range(front + tiles.count * tiles.size, n)
        assert found.keep[i].tolist() == keep
        into = found.keep[i][found.dst[i]].tolist()
        assert set(zip(found.src[i].tolist(), into, strict=True)) == links


def test_duplicates_come_back_exactly():
    x = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(0)).repeat_interleave(2, 1)
    token_map = LocalMerge(r=8, tile=4).reduce(signals(x, 0), 8)
    assert torch.equal(token_map.restore(token_map.reduce(x, None, "mean"), 16), x)


def test_the_plan_says_what_each_tile_merges():
    plan = Trial(LocalMerge(r=7, tile=8), subject(zoo.vit)).plan
    assert plan.tokens == (26, 20, 14, 8)
    assert plan.decisions[0].note == "2 in each of 3 tiles of 8; r = 7 becomes 6"
