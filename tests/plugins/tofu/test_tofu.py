"""Token Fusion: what MLERP keeps, where it prunes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgetok.graph import TokenMap
from edgetok.graph.tokens import length
from edgetok.ops import bipartite_match
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject
from edgetok_plugins.tofu import ToFu
from edgetok_plugins.tofu.stretched import StretchedMap


def mapped(seed: int, features: str) -> tuple[Tensor, Tensor, TokenMap]:
    """Tokens, their sizes, and a map in which many sources may share a destination."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 11, 6, generator=generator)
    sizes = torch.randint(1, 5, (2, 11), generator=generator).float()
    return x, sizes, TokenMap(*bipartite_match(x, None, 4, 1), features)


@given(st.integers(0, 2**31))
@settings(max_examples=50)
def test_mlerp_is_the_mean_direction_at_the_largest_length(seed: int) -> None:
    x, sizes, token_map = mapped(seed, "mlerp")
    got = token_map.reduce(x, sizes, "mean")
    for i in range(2):
        groups = [[k] for k in token_map.keep[i].tolist()]
        for s, d in zip(token_map.src[i].tolist(), token_map.dst[i].tolist(), strict=True):
            groups[d].append(s)
        for m, group in enumerate(groups):
            mean = sum(sizes[i, g] * x[i, g] for g in group) / sum(sizes[i, g] for g in group)
            longest = max(float(x[i, g].norm()) for g in group)
            torch.testing.assert_close(got[i, m], mean / mean.norm() * longest, rtol=1e-5, atol=1e-5)
            if len(group) == 1:
                assert torch.equal(got[i, m], x[i, group[0]])


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_the_plain_mean_knows_no_sizes(seed: int) -> None:
    x, sizes, token_map = mapped(seed, "plain")
    equal = TokenMap(token_map.keep, token_map.src, token_map.dst).reduce(x, torch.ones_like(sizes), "mean")
    assert torch.equal(token_map.reduce(x, sizes, "mean"), equal)


def test_padding_has_no_length():
    x, sizes, token_map = mapped(0, "mlerp")
    sizes[:, token_map.src[0]] = 0
    loud = torch.where((sizes == 0).unsqueeze(-1), 1000 * x, x)
    assert torch.equal(token_map.reduce(loud, sizes, "mean")[0], token_map.reduce(x, sizes, "mean")[0])


@pytest.mark.parametrize("x", [torch.full((1, 1, 64), 6e4), torch.full((1, 1, 4), 1e-4), torch.zeros(1, 1, 4)])
def test_lengths_survive_half_precision(x: Tensor):
    if float(x[0, 0].norm()) < torch.finfo(torch.float16).max:
        torch.testing.assert_close(length(x.half()).float(), x.norm(dim=-1, keepdim=True), rtol=2e-2, atol=1e-6)
    assert bool(length(x / 16).half().isfinite().all())


@pytest.mark.parametrize(("switch", "pruning"), [(0.0, 0), (0.5, 2), (1.0, 3)])
def test_early_layers_prune_and_later_ones_merge(switch: float, pruning: int):
    watched = Trial(ToFu(r=3, switch=switch), subject(zoo.vit)).watched
    assert [call.map.merged for call in watched] == [0] * pruning + [3] * (3 - pruning)
    assert {call.map.features for call in watched[pruning:]} <= {"mlerp"}


def test_later_layers_can_take_the_mean():
    watched = Trial(ToFu(r=3, switch=0.0, later="mean"), subject(zoo.vit)).watched
    assert {call.map.features for call in watched} == {"mean"}


@given(st.integers(0, 2**31))
@settings(max_examples=30)
def test_the_code_divides_by_the_length_before(seed: int) -> None:
    x, sizes, token_map = mapped(seed, "mean")
    got = StretchedMap(token_map.keep, token_map.src, token_map.dst).reduce(x, sizes, "mean")
    for i in range(2):
        groups = [[k] for k in token_map.keep[i].tolist()]
        for s, d in zip(token_map.src[i].tolist(), token_map.dst[i].tolist(), strict=True):
            groups[d].append(s)
        for m, group in enumerate(groups):
            mean = sum(sizes[i, g] * x[i, g] for g in group) / sum(sizes[i, g] for g in group)
            longest = max(float(x[i, g].norm()) for g in group)
            torch.testing.assert_close(got[i, m], mean / x[i, group[0]].norm() * longest, rtol=1e-4, atol=1e-5)
            if len(group) == 1:
                assert torch.equal(got[i, m], x[i, group[0]])


def test_the_divisor_is_an_option():
    watched = Trial(ToFu(r=3, switch=0.0, length="code"), subject(zoo.vit)).watched
    assert {type(call.map) for call in watched} == {StretchedMap}
    watched = Trial(ToFu(r=3, switch=0.0, later="mean", length="code"), subject(zoo.vit)).watched
    assert {type(call.map) for call in watched} == {TokenMap}
