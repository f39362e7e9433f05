"""Judging a runtime's decisions: optimal, near-tie, wrong, invalid."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgetok import ops
from edgetok.ops import decisions

MATCH, SELECT = torch.ops.edgetok.bipartite_match.default, torch.ops.edgetok.select_top.default


def metric(*angles: float) -> Tensor:
    """Unit vectors in the plane: the cosine of two is the cosine of the difference."""
    angle = torch.tensor(angles)
    return torch.stack([angle.cos(), angle.sin()], -1)[None]


def decision(keep: list[int], src: list[int], dst: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    return torch.tensor([keep]), torch.tensor([src]), torch.tensor([dst])


@given(st.integers(0, 2**31), st.integers(2, 20), st.integers(0, 4), st.sampled_from(["reference", "kept"]))
@settings(deadline=None, max_examples=100)
def test_own_decisions_have_no_gap(seed: int, n: int, protected: int, order: ops.Order) -> None:
    x = torch.randn(3, n, 4, generator=torch.Generator().manual_seed(seed))
    protected = min(protected, n)
    for r in {0, ops.max_r(n, protected) // 2, ops.max_r(n, protected)}:
        args = (x, None, r, protected, order)
        own = ops.bipartite_match(*args)
        assert torch.equal(decisions.gap(MATCH, args, own), torch.zeros(3))
        assert torch.equal(decisions.gap(MATCH, args, [part.float() for part in own]), torch.zeros(3))


def test_a_worse_partner_costs_the_difference() -> None:
    args = (metric(0.0, 0.1, 2.0, 0.4), None, 1, 0, "kept")
    assert [part.tolist() for part in ops.bipartite_match(*args)] == [[[1, 2, 3]], [[0]], [[0]]]
    cost = decisions.gap(MATCH, args, decision([1, 2, 3], [0], [2]))
    torch.testing.assert_close(cost, torch.tensor([0.1]).cos() - torch.tensor([0.4]).cos())


def test_a_worse_source_costs_the_difference() -> None:
    args = (metric(0.0, 0.1, 0.4, 3.0), None, 1, 0, "kept")
    cost = decisions.gap(MATCH, args, decision([0, 1, 3], [2], [1]))
    torch.testing.assert_close(cost, torch.tensor([0.1]).cos() - torch.tensor([0.3]).cos())


def test_an_exact_tie_costs_nothing() -> None:
    args = (torch.ones(1, 4, 4), None, 1, 0, "kept")
    assert decisions.gap(MATCH, args, decision([0, 1, 3], [2], [2])).item() == 0


def test_merging_padding_with_real_costs_much() -> None:
    args = (torch.ones(1, 6, 4), torch.tensor([[1.0, 1, 1, 1, 0, 0]]), 1, 0, "kept")
    assert decisions.gap(MATCH, args, decision([0, 1, 2, 3, 5], [4], [1])).item() == 4
    assert decisions.gap(MATCH, args, decision([0, 1, 2, 3, 5], [4], [4])).item() == 0


@pytest.mark.parametrize(
    ("keep", "src", "dst", "order"),
    [
        ([0, 1, 2, 3, 4], [4], [1], "kept"),
        ([1, 2, 3, 4, 5], [0], [2], "kept"),
        ([0, 1, 2, 4, 5], [3], [1], "kept"),
        ([0, 1, 3, 4, 5], [2], [3], "kept"),
        ([0, 1, 3, 4, 5], [2], [7], "kept"),
        ([0, 1, 3, 4, 5], [2], [-1], "kept"),
        ([0, 1, 3, 5, 4], [2], [1], "kept"),
        ([0, 1, 3, 4, 5], [2], [1], "reference"),
        ([0, 4, 1, 3, 5], [99], [2], "reference"),
        ([0, 4, 1, 3], [2], [2], "reference"),
    ],
    ids=["twice", "protected", "odd-source", "even-target", "far", "none", "order", "other-order", "range", "short"],
)
def test_what_is_no_token_map_costs_infinity(keep: list[int], src: list[int], dst: list[int], order: str) -> None:
    args = (torch.randn(1, 6, 4), None, 1, 1, order)
    assert decisions.gap(MATCH, args, decision(keep, src, dst)).item() == torch.inf


def test_a_protected_destination_costs_infinity() -> None:
    args = (torch.randn(1, 6, 4), None, 1, 2, "kept")
    assert decisions.gap(MATCH, args, decision([0, 1, 3, 4, 5], [2], [1])).item() == torch.inf
    assert decisions.gap(MATCH, args, decision([0, 1, 3, 4, 5], [2], [2])).item() < torch.inf


def test_half_a_token_is_no_index() -> None:
    args = (torch.ones(1, 4, 4), None, 1, 0, "kept")
    keep, src, dst = decision([0, 1, 3], [2], [2])
    assert decisions.gap(MATCH, args, (keep, src.float() + 0.4, dst)).item() == torch.inf


def test_samples_are_judged_apart() -> None:
    args = (metric(0.0, 0.1, 2.0, 0.4).repeat(2, 1, 1), None, 1, 0, "kept")
    own = [part.clone() for part in ops.bipartite_match(*args)]
    own[1][1] = 1
    assert decisions.gap(MATCH, args, own).tolist() == [0, torch.inf]


def test_select_gap_is_relative_to_the_largest_score() -> None:
    args = (torch.tensor([[9.0, 0.004, 0.001, 0.003]]), 2, 1)
    assert decisions.gap(SELECT, args, (torch.tensor([[0, 1]]),)).item() == 0
    assert decisions.gap(SELECT, args, (torch.tensor([[0, 3]]),)).item() == pytest.approx(0.25)
    for wrong in ([1, 2], [0, 0], [0, 4]):
        assert decisions.gap(SELECT, args, (torch.tensor([wrong]),)).item() == torch.inf
    assert decisions.gap(SELECT, args, (torch.tensor([[0]]),)).item() == torch.inf


def test_sources_may_be_listed_in_any_order() -> None:
    one = decision([0, 1, 3, 5], [2, 4], [1, 3])
    other = decision([0, 1, 3, 5], [4, 2], [3, 1])
    crossed = decision([0, 1, 3, 5], [4, 2], [1, 3])
    assert decisions.same(MATCH, one, other).tolist() == [True]
    assert decisions.same(MATCH, one, crossed).tolist() == [False]


def test_an_operator_is_registered_once() -> None:
    assert {MATCH, SELECT} <= set(decisions.DECISION_OPS)
    with pytest.raises(ValueError, match="has a gap already"):
        decisions.register_decision(MATCH, decisions.match_gap)


CHOICES = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.1, 0.4, 0.399, 0.101]])
TOPK_ARGS = (CHOICES, 2, -1, True, True)


def topk_judged(*rows):
    return decisions.gap(decisions.TOPK, TOPK_ARGS, (torch.tensor(rows),)).tolist()


def test_the_best_experts_in_any_order_give_nothing_away():
    assert topk_judged([0, 1], [2, 1]) == [0.0, 0.0]
    assert decisions.same(decisions.TOPK, (torch.tensor([[0, 1]]),), (torch.tensor([[1, 0]]),)).all()


def test_a_worse_choice_of_experts_gives_away_its_share():
    found = topk_judged([0, 2], [1, 3])
    assert found == pytest.approx([0.1 / 0.5, (0.399 - 0.101) / 0.4], rel=1e-6)


def test_what_is_no_choice_of_experts_is_invalid():
    assert topk_judged([0, 0], [1, 4]) == [float("inf")] * 2
    assert decisions.gap(decisions.TOPK, TOPK_ARGS, (torch.zeros(2, 3),)).tolist() == [float("inf")] * 2


def test_values_of_a_choice_are_those_of_the_reference():
    theirs = decisions.choice_of(decisions.TOPK, (torch.zeros(2, 2), torch.tensor([[0.0, 2.0], [1.0, 3.0]])))
    values, chosen = decisions.outputs_of(decisions.TOPK, TOPK_ARGS, theirs)
    assert chosen.tolist() == [[0, 2], [1, 3]]
    torch.testing.assert_close(values, torch.tensor([[0.5, 0.2], [0.4, 0.101]]))
