"""The rule of online dynamic pruning."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok_plugins.mc_moe.experts.form import Routing
from edgetok_plugins.mc_moe.odp import Pruning, calibrated, pruned_weights

NEAR = 1e-6
"""Relative: a ratio this near to the threshold may round to either side."""


def routing(tokens, experts, seed, *, normalised=True):
    made = torch.Generator().manual_seed(seed)
    weights = torch.rand(tokens, experts, generator=made) + 1e-3
    weights = weights / weights.sum(1, keepdim=True) if normalised else weights
    index = torch.rand(tokens, 8, generator=made).argsort(1)[:, :experts]
    return Routing(torch.randn(tokens, 4, generator=made), index, weights)


routings = st.builds(routing, st.integers(1, 40), st.integers(2, 8), st.integers(0, 10_000), normalised=st.booleans())


@given(routings, st.floats(0, 1))
def test_an_expert_stays_where_its_weight_is_at_least_mu_times_the_largest(routed, threshold):
    keep = Pruning(threshold, 0.0).keep(routed, None)
    ratio = routed.weights / routed.weights.amax(1, keepdim=True)
    clear = (ratio - threshold).abs() > NEAR
    assert torch.equal(keep[clear], (ratio >= threshold)[clear])
    assert keep.gather(1, routed.weights.argmax(1, keepdim=True)).all()


@given(routings, st.floats(0, 1))
def test_weights_keep_their_sum_and_their_proportions(routed, threshold):
    keep = Pruning(threshold, 0.0).keep(routed, None)
    left = pruned_weights(routed.weights, keep)
    torch.testing.assert_close(left.sum(1), routed.weights.sum(1))
    assert (left[~keep] == 0).all()
    largest = routed.weights.argmax(1, keepdim=True)
    before, after = (values / values.gather(1, largest) for values in (routed.weights, left))
    torch.testing.assert_close(after[keep], before[keep])


@given(routings)
def test_the_median_leaves_out_half_of_all_but_the_largest(routed):
    tokens, experts = routed.weights.shape
    others = tokens * (experts - 1)
    found = calibrated(routed, 0.0, None)
    assert found.saved * tokens * experts == pytest.approx(others // 2, abs=1e-3)
    assert found.protected == 0


@given(st.integers(1, 3), st.integers(1, 150), st.sampled_from([0.0, 0.02, 0.07, 0.1, 0.5, 0.99]), st.integers(0, 1000))
def test_the_important_tokens_of_each_sequence_keep_all(sequences, length, share, seed):
    routed = routing(sequences * length, 2, seed)
    received = torch.rand(sequences, length, generator=torch.Generator().manual_seed(seed))
    pruning = Pruning(1.0, share)
    guarded = pruning.guarded(routed.tokens, received)
    if length == 1 or share == 0:
        assert guarded is None
        return
    count = -(-round(100 * share) * length // 100)
    found = guarded.reshape(sequences, length)
    assert (found.sum(1) == count).all()
    importance = routed.tokens.abs().sum(1).reshape(sequences, length) * received
    for row in range(sequences):
        assert set(found[row].nonzero().flatten().tolist()) == set(importance[row].argsort()[-count:].tolist())
    assert pruning.keep(routed, received)[guarded.squeeze(1)].all()


def test_a_token_with_one_expert_keeps_it():
    with pytest.raises(UnsupportedModel, match="nothing to prune"):
        calibrated(Routing(torch.ones(5, 4), torch.zeros(5, 1), torch.ones(5, 1)), 0.0, None)


def test_figures_survive_a_file_and_others_are_refused():
    pruning = Pruning(0.5, 0.25, 0.125, 0.75)
    assert Pruning.read({"a.odp": pruning.tensor()}, "a") == pruning
    assert Pruning.read({}, "a") is None
    for bad in (torch.ones(3), torch.tensor([0.5, 0.2, 0.1, 7.0]), torch.full((4,), torch.nan), torch.ones(4).int()):
        with pytest.raises(BrokenWeights, match=r"a\.odp"):
            Pruning.read({"a.odp": bad}, "a")
