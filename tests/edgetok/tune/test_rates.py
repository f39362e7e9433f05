"""The proxy of learned rates: forwards the counts it stands for, backwards the gradient of their probabilities."""

from __future__ import annotations

import pytest
import torch

from edgetok.graph import Step, run_rewritten
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject
from edgetok.tune.rates import Proxy, Rates
from edgetok_plugins.diffrate import DiffRate


def test_counts_start_where_they_are_told():
    rates = Rates([40, 30, 20], [30, 20, 10], drops=True)
    torch.testing.assert_close(rates.counts.detach().round(), torch.tensor([[35.0, 30], [25, 20], [15, 10]]))
    merges = Rates([40, 30, 20], [30, 20, 10], drops=False)
    assert merges.counts[:, 0].tolist() == [40.0] * 3
    assert merges.left().detach().round().tolist() == [30, 20, 10]


def test_survival_is_hard_forwards_and_a_probability_backwards():
    rates = Rates([12], [6], drops=True)
    rank = torch.tensor([[-1, 0, 5, 6, 11]])
    found = rates.survives(0, 1, rank)
    assert found.round().tolist() == [[1, 1, 1, 0, 0]]
    found.sum().backward()
    p = rates.logits.detach().clone().requires_grad_()
    torch.stack([p[0, 1].softmax(-1)[k:].sum() for k in (0, 0, 5, 6, 11)]).sum().backward()
    torch.testing.assert_close(rates.logits.grad, p.grad)


def test_what_goes_is_never_more_than_there_is():
    rates = Rates([20, 10, 10], [10, 10, 10], drops=True)
    with torch.no_grad():
        rates.logits[1, 1] = torch.linspace(0, 20, 20)  # keeps nearly all, of ten that are there
    dropped, merged = rates.removed()
    assert dropped[1] == pytest.approx(0.0)
    assert merged[1] == pytest.approx(0.0)
    assert sum(dropped) + sum(merged) == pytest.approx(20 - float(rates.left().detach()[-1]))


@pytest.mark.parametrize("prop_attn", [True, False])
@pytest.mark.parametrize("merging", ["plain", "mean"])
@pytest.mark.parametrize("factory", [zoo.vit])
def test_forwards_the_proxy_is_the_reduction_with_its_counts(factory, merging, prop_attn):
    """Nothing leaves the sequence, and the class scores are those of the real thing."""
    found = subject(factory)
    plugin = DiffRate(prune=[3, 2, 0], merge=[2, 3, 4], merging=merging, prop_attn=prop_attn)
    real = Trial(plugin, found)
    want = run_rewritten(found.program, real.steps, found.program.example)
    rates = Rates([25, 20, 15], [20, 15, 11], drops=True)
    with torch.no_grad():
        for layer, (kept, stay) in enumerate([(22, 20), (18, 15), (15, 11)]):
            for kind, count in enumerate((kept, stay)):
                rates.logits[layer, kind] = -30.0
                rates.logits[layer, kind, count - 1] = 30.0
    proxy = Proxy(plugin, rates)
    steps = [Step(step.site, proxy, step.site.tokens) for step in real.steps]
    got = run_rewritten(found.program, steps, found.program.example)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
