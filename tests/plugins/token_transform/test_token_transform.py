"""Token Transforming against its matrix written out, its limits."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgetok.graph.signals import Signals
from edgetok.testing import zoo
from edgetok.testing.trial import subject
from edgetok_plugins.token_transform import TokenTransform


def signals(heads: dict[str, Tensor], protected: int, sizes: Tensor | None = None) -> Signals:
    keys = heads["key"]
    hidden = torch.zeros(keys.shape[0], keys.shape[2], 4)
    site = subject(zoo.vit).sites[0]
    return Signals(site, hidden, sizes, keys.shape[2], protected, sizes is not None, heads.__getitem__)


def made(seed: int, n: int) -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    heads = {name: torch.randn(2, 3, n, 16, generator=generator) for name in ("query", "key")}
    return heads, torch.randn(2, n, 5, generator=generator)


@given(st.integers(0, 2**31), st.integers(6, 12), st.integers(1, 3))
@settings(max_examples=40)
def test_the_matrix_is_that_of_the_definition(seed: int, n: int, r: int) -> None:
    heads, x = made(seed, n)
    sizes = torch.randint(1, 5, (2, n), generator=torch.Generator().manual_seed(seed)).float()
    found = TokenTransform(r=r, temperature=0.3).reduce(signals(heads, 1), n - r)
    new, grown = found.reduce(x, sizes, "mean"), found.reduce(sizes.unsqueeze(-1), None, "sum").squeeze(-1)
    for i in range(2):
        attention = (heads["query"][i, :, :1] @ heads["key"][i].transpose(1, 2) / 4).softmax(-1).mean(0)[0]
        ranked = sorted(range(1, n), key=lambda j, attention=attention: -float(attention[j]))
        anchors = sorted(ranked[: n - r - 1])
        assert found.keep[i].tolist() == [0, *anchors]
        keys = heads["key"][i].mean(0)
        share = {}
        for j in range(1, n):
            scores = [math.exp(float(torch.cosine_similarity(keys[j], keys[a], 0)) / 0.3) for a in anchors]
            share[j] = [s / sum(scores) for s in scores]
        for m in range(len(anchors)):
            size = sum(share[j][m] * float(sizes[i, j]) for j in range(1, n))
            value = sum(share[j][m] * float(sizes[i, j]) * x[i, j] for j in range(1, n)) / size
            torch.testing.assert_close(new[i, 1 + m], value, rtol=1e-3, atol=1e-4)
            assert math.isclose(float(grown[i, 1 + m]), size, rel_tol=1e-4)
    torch.testing.assert_close(grown.sum(1), sizes.sum(1))


def test_cold_it_merges_into_the_most_similar_anchor():
    heads, x = made(0, 12)
    found = TokenTransform(r=4, temperature=1e-3).reduce(signals(heads, 1), 8)
    hard = super(type(found), found).reduce(x, None, "mean")
    torch.testing.assert_close(found.reduce(x, None, "mean"), hard, rtol=1e-3, atol=1e-3)


def test_what_is_restored_is_the_mixture_of_new_tokens():
    heads, x = made(1, 10)
    found = TokenTransform(r=3).reduce(signals(heads, 1), 7)
    y = found.reduce(x, None, "mean")
    back = found.restore(y, 10)
    assert torch.equal(back[:, :1], y[:, :1])
    torch.testing.assert_close(back[:, 1:], found.back @ y[:, 1:])


def test_padding_stays_apart():
    heads, x = made(2, 12)
    sizes = torch.ones(2, 12)
    sizes[0, 8:] = 0
    found = TokenTransform(r=3).reduce(signals(heads, 1, sizes), 9)
    loud = torch.where((sizes == 0).unsqueeze(-1), x + 1000, x)
    grown = found.reduce(sizes.unsqueeze(-1), None, "sum").squeeze(-1)
    assert grown[0].gt(0).sum() == 5
    real = grown > 0
    assert torch.equal(found.reduce(loud, sizes, "mean")[real], found.reduce(x, sizes, "mean")[real])
