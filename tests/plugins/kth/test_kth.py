"""Every k-th token stays: against the definition written out, where it acts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetok.errors import BadOption
from edgetok.graph.signals import Signals
from edgetok.graph.tiles import Tiles
from edgetok.options import build
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject
from edgetok_plugins.kth import Kth


@given(st.integers(0, 2**31), st.integers(2, 5), st.integers(12, 30), st.integers(0, 2))
@settings(max_examples=60)
def test_all_others_merge_into_the_most_similar_kth(seed: int, k: int, n: int, front: int) -> None:
    x = torch.randn(2, n, 5, generator=torch.Generator().manual_seed(seed))
    site = subject(zoo.vit).sites[0]
    plugin = Kth(k=k, tile=9)
    tiles = Tiles.of(n, front, 9)
    left = n - tiles.count * (tiles.size - tiles.size // k)
    found = plugin.reduce(Signals(site, x, None, n, front, False, lambda which: x.unsqueeze(1)), left)
    for i in range(2):
        links = {}
        for t in range(tiles.count):
            tile = range(front + t * tiles.size, front + (t + 1) * tiles.size)
            stay = [b for place, b in enumerate(tile) if place % k == k - 1]
            for a in set(tile) - set(stay):
                cosine = {b: float(x[i, a].double() @ x[i, b].double() / x[i, b].double().norm()) for b in stay}
                links[a] = max(cosine, key=cosine.__getitem__)
        into = found.keep[i][found.dst[i]].tolist()
        assert dict(zip(found.src[i].tolist(), into, strict=True)) == links
        assert found.keep[i].tolist() == sorted(set(range(n)) - set(links))


def test_it_acts_where_it_is_told_or_in_the_middle():
    assert Trial(Kth(k=5), subject(zoo.vit)).plan.tokens == (26, 26, 6, 6)
    assert Trial(Kth(k=2, layers=(0, 2)), subject(zoo.vit)).plan.tokens == (26, 13, 13, 7)
    assert Trial(Kth(k=30), subject(zoo.vit)).steps == []


def test_nothing_is_ranked():
    trial = Trial(Kth(k=2, layers=(0,)), subject(zoo.vit))
    ops = {str(node.target) for node in trial.optimised.graph.nodes}
    assert "edgetok.match_among.default" in ops
    assert not {op for op in ops if "rank_top" in op or "select_top" in op or "bipartite" in op}


@pytest.mark.parametrize("options", [{"k": 0}, {"layers": [-1]}, {"tile": 1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(BadOption):
        build(Kth, options, "kth")
