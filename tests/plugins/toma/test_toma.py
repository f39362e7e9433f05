"""ToMA's destinations, shares and way back against their definitions, and tomesd's pairs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgetok.errors import BadOption, NothingToRewrite
from edgetok.graph.signals import Signals
from edgetok.options import build
from edgetok.plan import make_plan
from edgetok.testing import zoo
from edgetok.testing.trial import NOWHERE, Trial, subject
from edgetok_plugins.toma import ToMA, _least
from edgetok_plugins.toma.facility import FIRST, facilities


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / a.norm() / b.norm())


def greedy(x: Tensor, count: int) -> set[int]:
    """Facility location, one token at a time, in plain words."""
    n, chosen = len(x), list[int]()

    def covered(ids: list[int]) -> float:
        return sum(max(cosine(x[i], x[j]) for j in ids) for i in range(n))

    for _ in range(count):
        left = [j for j in range(n) if j not in chosen]
        chosen.append(max(left, key=lambda j: covered([*chosen, j]) - FIRST * j))
    return set(chosen)


@given(st.integers(0, 2**31), st.integers(2, 9))
@settings(max_examples=30)
def test_destinations_are_those_of_greedy_facility_location(seed: int, n: int) -> None:
    x = torch.randn(2, n, 4, generator=torch.Generator().manual_seed(seed)).double()
    count = max(n // 2, 1)
    found = facilities(torch.nn.functional.normalize(x, dim=-1), count, count)
    for i in range(2):
        assert set(found[i].nonzero().flatten().tolist()) == greedy(x[i], count)


@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 12))
def test_as_many_as_asked_are_chosen_in_any_number_of_rounds(seed: int, count: int, rounds: int) -> None:
    x = torch.randn(1, 8, 3, generator=torch.Generator().manual_seed(seed)).repeat(2, 1, 1)
    x[1] = x[1, :1]  # all alike: nothing raises the sum any more
    found = facilities(torch.nn.functional.normalize(x, dim=-1), count, rounds)
    assert found.sum(1).tolist() == [count, count]
    assert set(found.flatten().tolist()) <= {0.0, 1.0}


def signals(x: Tensor) -> Signals:
    """Of the tokens of a 6 x 6 grid behind nothing."""

    def none(which: str) -> Tensor:
        raise AssertionError(which)

    return Signals(subject(zoo.dit).sites[0], x, None, 36, 0, False, none)


def tokens() -> Tensor:
    return torch.randn(2, 36, 8, generator=torch.Generator().manual_seed(3))


def test_merged_tokens_and_their_way_back_are_those_of_the_definition():
    plugin, x = ToMA(ratio=0.5, tile=3, temperature=0.3, rounds=5), tokens()
    found = plugin.reduce(signals(x), 20)
    merged, back = found.reduce(x, None, "mean"), found.restore(found.reduce(x, None, "mean"), 36)
    for b in range(2):
        at = 0
        for top, left in ((0, 0), (0, 3), (3, 0), (3, 3)):
            ids = [(top + i) * 6 + left + j for i in range(3) for j in range(3)]
            own = found.keep[b, at : at + 5].tolist()
            assert set(own) == {ids[k] for k in greedy(x[b, ids].double(), 5)}
            weights = [[math.exp(cosine(x[b, i], x[b, d]) / 0.3) for d in own] for i in ids]
            shares = torch.tensor([[w / sum(row) for w in row] for row in weights])
            small = (shares / shares.sum(0)).T @ x[b, ids]
            torch.testing.assert_close(merged[b, at : at + 5], small, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(back[b, ids], shares @ small, rtol=1e-4, atol=1e-5)
            at += 5


def test_tomesd_merges_the_most_similar_into_the_first_of_each_cell():
    plugin, x = ToMA(method="tomesd", ratio=0.5, tile=6), tokens()
    found = plugin.reduce(signals(x), 18)
    targets = [i * 6 + j for i in (0, 2, 4) for j in (0, 2, 4)]
    for b in range(2):
        best = {
            i: max((cosine(x[b, i].double(), x[b, t].double()), t) for t in targets)
            for i in range(36)
            if i not in targets
        }
        gone = sorted(best, key=lambda i: -best[i][0])[:18]
        assert set(found.src[b].tolist()) == set(gone)
        into = found.keep[b][found.dst[b]].tolist()
        assert dict(zip(found.src[b].tolist(), into, strict=True)) == {i: best[i][1] for i in gone}
        merged = found.reduce(x, None, "mean")[b]
        for at, token in enumerate(found.keep[b].tolist()):
            group = [token, *(i for i in gone if best[i][1] == token)]
            torch.testing.assert_close(merged[at], x[b, group].mean(0))


@pytest.mark.parametrize("method", ["toma", "tomesd"])
def test_equal_tokens_come_back_as_they_were(method):
    x = torch.randn(2, 1, 8).repeat(1, 36, 1)
    found = ToMA(method=method, tile=3).reduce(signals(x), 20)
    torch.testing.assert_close(found.restore(found.reduce(x, None, "mean"), 36), x)


def test_the_plan_says_what_each_region_loses():
    trial = Trial(ToMA(ratio=0.5, tile=4, min_tokens=32), subject(zoo.unet))
    assert [d.note for d in trial.plan.decisions] == ["8 of 4 x 4 in each of 4", None, "8 of 4 x 4 in each of 4"]
    assert trial.plan.decisions[1].refusal == "its 16 tokens are fewer than min_tokens = 32"
    capped = Trial(ToMA(method="tomesd", ratio=0.9, tile=4, min_tokens=32), subject(zoo.unet)).plan
    assert capped.decisions[0].note == "12, not 14 of 4 x 4 in each of 4"


@pytest.mark.parametrize("method", ["toma", "tomesd"])
def test_a_ratio_that_takes_no_token_is_refused_with_the_smallest_that_does(method):
    def decisions(ratio):
        plugin = ToMA(method=method, ratio=ratio, min_tokens=1, grid=(4, 6))
        return Trial(plugin, subject(zoo.transformer_encoder)).plan.decisions

    why = "ratio = 0.01 of its regions of 4 x 6 is less than a token; the smallest that acts is 0.042"
    assert [(d.tokens, d.keep, d.refusal) for d in decisions(0.01)] == [(24, 24, why)] * 3
    assert [(d.keep, d.refusal) for d in decisions(0.042)] == [(23, None)] * 3
    assert [d.keep for d in decisions(0.041) if d.refusal] == [24] * 3
    assert [(d.keep, d.refusal) for d in decisions(0.0)] == [(24, None)] * 3, "zero strength is not refused"


def test_a_ratio_that_takes_no_token_anywhere_is_an_error():
    found, plugin = subject(zoo.transformer_encoder), ToMA(ratio=0.01, min_tokens=1, grid=(4, 6))
    with pytest.raises(NothingToRewrite) as caught:
        make_plan(found.program, found.sites, [plugin], NOWHERE)
    assert "the smallest that acts is 0.042" in str(caught.value.why)


@given(st.integers(4, 2**16))
def test_the_smallest_ratio_takes_one_token(size: int) -> None:
    assert int(size * _least(size)) == 1


def test_no_step_has_more_axes_than_core_ml_takes():
    trial = Trial(ToMA(ratio=0.5, tile=4, min_tokens=32), subject(zoo.unet))
    values = [node.meta["val"] for node in trial.optimised.graph.nodes if "val" in node.meta]
    assert max(v.dim() for v in values if isinstance(v, Tensor)) <= 5


@pytest.mark.parametrize(
    "options",
    [
        {"ratio": 1.0},
        {"tile": 1},
        {"method": "pinv"},
        {"temperature": 0.0},
        {"rounds": 0},
        {"grid": [-4, -6]},
        {"grid": [4, 0]},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(BadOption):
        build(ToMA, options, "toma")
