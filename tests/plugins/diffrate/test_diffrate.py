"""DiffRate against its definition written out token by token; its counts."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgetok.graph.signals import Signals
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject
from edgetok_plugins.diffrate import DiffRate
from edgetok_plugins.diffrate.faded import FadedMap


def signals(hidden: Tensor, heads: dict[str, Tensor], protected: int, sizes: Tensor | None = None) -> Signals:
    site = subject(zoo.vit).sites[0]
    return Signals(site, hidden, sizes, hidden.shape[1], protected, sizes is not None, heads.__getitem__)


def by_hand(hidden: Tensor, importance: list[float], front: int, prune: int, merge: int) -> tuple[list, set]:
    """One sample, from the definition: what is dropped, and what merges into what."""
    ranked = sorted(range(front, len(importance)), key=lambda i: (-importance[i], i))
    dropped, left = ranked[len(ranked) - prune :], ranked[: len(ranked) - prune]
    stay, go = left[: len(left) - merge], left[len(left) - merge :]
    links = set()
    for a in go:
        cosine = {b: float(hidden[a] @ hidden[b] / hidden[a].norm() / hidden[b].norm()) for b in stay}
        links.add((a, max(cosine, key=cosine.__getitem__)))
    return sorted(dropped), links


@given(st.integers(0, 2**31), st.integers(6, 12), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=60)
def test_it_prunes_and_merges_as_defined(seed: int, n: int, prune: int, merge: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(2, n, 8, generator=generator)
    heads = {name: torch.randn(2, 3, n, 16, generator=generator) for name in ("query", "key")}
    plugin = DiffRate(prune=prune, merge=merge)
    keep = n - sum(min(a, b) for a, b in ((prune, n), (merge, (n - 1 - prune) // 2)))
    found = plugin.reduce(signals(hidden, heads, 1), keep)
    assert found.features == ("plain" if merge else "mean")
    for i in range(2):
        scores = heads["query"][i, :, :1] @ heads["key"][i].transpose(1, 2) / 4.0
        importance = scores.softmax(-1).mean(0)[0].double().tolist()
        dropped, links = by_hand(hidden[i].double(), importance, 1, prune, n - prune - keep)
        kept, src = found.keep[i].tolist(), found.src[i].tolist()
        assert sorted(set(range(n)) - set(kept) - set(src)) == dropped
        assert kept == sorted(kept)
        assert set(zip(src, [kept[d] for d in found.dst[i].tolist()], strict=True)) == links


def test_padding_is_pruned_first_and_never_merged():
    generator = torch.Generator().manual_seed(0)
    hidden, sizes = torch.randn(2, 12, 8, generator=generator), torch.ones(2, 12)
    sizes[0, 7:] = 0
    heads = {name: torch.randn(2, 2, 12, 4, generator=generator) for name in ("query", "key")}
    found = DiffRate(prune=2, merge=2).reduce(signals(hidden, heads, 1, sizes), 8)
    gone = set(range(12)) - set(found.keep[0].tolist()) - set(found.src[0].tolist())
    assert gone <= set(range(7, 12))
    assert len(gone) == 2
    assert not set(found.src[0].tolist()) & set(range(7, 12))
    assert not set(found.keep[0][found.dst[0]].tolist()) & set(range(7, 12))


def test_counts_per_layer_and_what_the_plan_says():
    plan = Trial(DiffRate(prune=[0, 4, 40], merge=[3, 0, 1]), subject(zoo.vit)).plan
    assert plan.tokens == (26, 23, 19, 2)
    assert [d.note for d in plan.decisions] == [
        "0 pruned, 3 merged",
        "4 pruned, 0 merged",
        "17 pruned, 0 merged, capped from 40 and 1",
    ]


def test_without_a_class_token_the_mean_query_asks():
    assert Trial(DiffRate(prune=2, merge=2), subject(zoo.transformer_encoder)).plan.tokens == (24, 20, 16, 12)


def test_options_are_what_a_recipe_records():
    options = DiffRate(prune=[1, 2], merge=(4, -1.0)).options()
    assert options == {"prune": [1, 2], "merge": [4, -1.0], "merging": "plain", "sizes": "conserved", "prop_attn": True}


def test_sizes_of_the_code_fade_by_similarity():
    """Each merged token adds its own size times its cosine with what it goes to; other sizes stay bit for bit."""
    generator = torch.Generator().manual_seed(3)
    hidden, sizes = torch.randn(2, 12, 4, generator=generator), torch.rand(2, 12, generator=generator) + 1
    heads = {name: torch.randn(2, 2, 12, 4, generator=generator) for name in ("query", "key")}
    plugin = DiffRate(prune=2, merge=4, sizes="code")
    found = plugin.reduce(signals(hidden, heads, 1), 6)
    summed = found.reduce(sizes.unsqueeze(-1), None, "sum").squeeze(-1)
    for i in range(2):
        wanted = [float(sizes[i, k]) for k in found.keep[i].tolist()]
        for s, d in zip(found.src[i].tolist(), found.dst[i].tolist(), strict=True):
            a, b = hidden[i, s].double(), hidden[i, found.keep[i, d]].double()
            wanted[d] += float(sizes[i, s]) * max(float(a @ b / a.norm() / b.norm()), 0.0)
        torch.testing.assert_close(summed[i], torch.tensor(wanted))
        alone = sorted(set(range(6)) - set(found.dst[i].tolist()))
        assert torch.equal(summed[i, alone], sizes[i, found.keep[i, alone]])
    plain = DiffRate(prune=2, merge=4).reduce(signals(hidden, heads, 1), 6)
    assert torch.equal(found.reduce(hidden, sizes, "mean"), plain.reduce(hidden, sizes, "mean"))


def test_a_token_that_points_away_adds_nothing():
    metric = torch.tensor([[[1.0, 0.0], [-2.0, 0.1], [3.0, 0.0]]])
    links = torch.tensor([[0]]), torch.tensor([[1, 2]]), torch.tensor([[0, 0]])
    found = FadedMap.of(metric, links, "plain")
    assert found.alike.tolist() == [[0.0, 1.0]]
    assert found.reduce(torch.tensor([[[1.0], [2.0], [4.0]]]), None, "sum").tolist() == [[[5.0]]]


def test_sizes_of_the_code_shrink_in_a_whole_model():
    watched = Trial(DiffRate(prune=0, merge=4, sizes="code"), subject(zoo.vit)).watched
    totals = [float(call.sizes.sum(1).max()) for call in watched]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < totals[0] == 26
