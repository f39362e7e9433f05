"""PiToMe against its definition written out token by token; its options."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgetok.errors import BadOption
from edgetok.graph.signals import Signals
from edgetok.options import build
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject
from edgetok_plugins.pitome import PiToMe
from edgetok_plugins.pitome.energy import energies


def energy(x: list[Tensor], i: int, margin: float, form: str) -> float:
    """``mean_j f(cos(i, j) - m)`` over the tokens given."""
    total = 0.0
    for other in x:
        cosine = float(x[i] @ other / x[i].norm() / other.norm())
        above = cosine if form == "paper" else cosine - margin
        total += above if cosine >= margin else math.exp(cosine - margin) - 1.0
    return total / len(x)


def pairs(x: list[Tensor], r: int, margin: float, form: str, *, bipartite: bool) -> set[tuple[int, int]]:
    """Which token merges into which, from the definition."""
    scores = [energy(x, i, margin, form) for i in range(len(x))]
    ranked = sorted(range(len(x)), key=lambda i: (-scores[i], i))
    ranked = ranked if bipartite else ranked[: 2 * r]
    links = []
    for a in ranked[0::2]:
        cosines = {b: float(x[a] @ x[b] / x[a].norm() / x[b].norm()) for b in ranked[1::2]}
        best = max(cosines, key=cosines.__getitem__)
        links.append((-cosines[best], a, best))
    return {(a, b) for _, a, b in sorted(links)[:r]}


def signals(x: Tensor, protected: int, index: int = 0, sizes: Tensor | None = None) -> Signals:
    """Signals of one site with keys ``x (B, N, d)``."""
    site = subject(zoo.vit).sites[index]
    return Signals(site, x, sizes, x.shape[1], protected, sizes is not None, lambda which: x.unsqueeze(1))


@given(st.integers(0, 2**31), st.integers(4, 14), st.integers(0, 2), st.sampled_from(["elu", "paper"]), st.booleans())
@settings(max_examples=60)
def test_merges_are_those_of_the_definition(seed: int, n: int, protected: int, form: str, bipartite: bool) -> None:
    x = torch.randn(2, n + protected, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()
    r = n // 3
    plugin = PiToMe(r=r, energy=form, margin=(0.4, 0.0), matching="bipartite-first" if bipartite else "energy")
    found = plugin.reduce(signals(x, protected), n + protected - r)
    for i in range(2):
        expected = pairs(list(x[i, protected:].double()), r, 0.4, form, bipartite=bipartite)
        into = found.keep[i][found.dst[i]]
        links = {(a - protected, b - protected) for a, b in zip(found.src[i].tolist(), into.tolist(), strict=True)}
        assert links == expected
        assert found.keep[i].tolist() == sorted(set(range(n + protected)) - set(found.src[i].tolist()))


def test_tokens_that_nothing_resembles_are_protected():
    alone = torch.eye(12)[:4]
    crowd = torch.eye(12)[4].repeat(8, 1) + 0.01 * torch.randn(8, 12, generator=torch.Generator().manual_seed(0))
    x = torch.cat([alone, crowd])[None, torch.randperm(12, generator=torch.Generator().manual_seed(1))]
    found = PiToMe(r=4, matching="energy").reduce(signals(x, 0), 8)
    touched = torch.cat([found.src[0], found.keep[0][found.dst[0]]])
    assert bool((x[0, touched, 4] > 0.5).all())


@pytest.mark.parametrize("index", [0, 2])
def test_padding_goes_first_and_counts_in_no_energy(index):
    x = torch.randn(1, 10, 4, generator=torch.Generator().manual_seed(0))
    sizes = torch.ones(1, 10)
    sizes[:, 6:] = 0
    found = PiToMe(r=2).reduce(signals(x, 0, index, sizes), 8)
    assert sorted(found.src[0].tolist() + found.keep[0][found.dst[0]].tolist())[0] >= 6
    alone = energies(x[:, :6], None, 0, 0.5)
    torch.testing.assert_close(energies(x, sizes, 0, 0.5)[:, :6], alone)


def test_the_margin_falls_from_layer_to_layer(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "edgetok_plugins.pitome.energy.energies", lambda x, s, p, margin, f: seen.append(margin) or x[..., 0]
    )
    for index in range(3):
        PiToMe(r=2, margin=(0.9, 0.6)).reduce(signals(torch.randn(1, 10, 4), 1, index), 8)
    assert seen == pytest.approx([0.9, 0.7, 0.5])


@pytest.mark.parametrize(("matching", "layers"), [("energy", []), ("bipartite-first", [0, 1]), ("bipartite-last", [2])])
def test_halves_of_the_layers_by_the_other_rule(matching, layers):
    x = torch.randn(1, 16, 4, generator=torch.Generator().manual_seed(3))
    by_energy = PiToMe(r=2, margin=(0.9, 0.0), matching="energy").reduce(signals(x, 0), 14).src
    changed = [
        i
        for i in range(3)
        if not torch.equal(
            PiToMe(r=2, margin=(0.9, 0.0), matching=matching).reduce(signals(x, 0, i), 14).src, by_energy
        )
    ]
    assert changed == layers


def test_a_ratio_stands_in_for_r():
    assert Trial(PiToMe(ratio=0.9), subject(zoo.vit)).plan.tokens == (26, 24, 22, 20)
    assert Trial(PiToMe(ratio=1.0), subject(zoo.vit)).steps == []
    for wrong in (0.5, 1.1):
        with pytest.raises(BadOption):
            build(PiToMe, {"ratio": wrong}, "pitome")


def test_more_than_half_is_capped_and_said():
    plan = Trial(PiToMe(r=20), subject(zoo.vit)).plan
    assert plan.tokens == (26, 14, 8, 5)
    assert "capped at 12" in plan.decisions[0].note
