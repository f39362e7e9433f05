"""Weights become whole numbers that meet a budget and waste little of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetok.tune.schedule import linear, rounded, scaled, stretched, to_budget

amounts = st.lists(st.floats(0, 40), min_size=1, max_size=24)


@given(amounts)
def test_rounding_keeps_every_running_sum(given_amounts):
    found, total = rounded(given_amounts), 0.0
    for i, amount in enumerate(given_amounts):
        total += amount
        assert abs(sum(found[: i + 1]) - total) <= 0.5 + 1e-6
    assert min(found) >= 0


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.floats(0.3, 1.0))
def test_budgets_are_met_with_little_to_spare(weights, budget):
    def cost(removed):
        return 1.0 - sum(removed) / (100.0 * len(weights))

    found = to_budget(weights, budget, 100, tuple, cost)
    reachable = cost(rounded([100 * w / max(weights) for w in weights])) <= budget if max(weights) > 0 else budget >= 1
    if reachable:
        assert cost(found) <= budget
        assert budget - cost(found) <= 2.0 / (100.0 * len(weights)) + 0.01


def test_lines_are_stretched_through_their_points():
    assert stretched([1.0, 0.0, 1.0], 5) == pytest.approx([1.0, 0.5, 0.0, 0.5, 1.0])
    assert stretched([3.0], 4) == [3.0] * 4
    assert stretched([1.0, 2.0], 1) == [1.5]
    assert stretched(stretched([4.0, 1.0, 3.0], 7), 3) == pytest.approx([4.0, 1.0, 3.0])


def test_linear_weights():
    assert linear(3, 1.0, 0.0) == [1.0, 0.5, 0.0]
    assert linear(1, 1.0, 0.0) == [1.0]


@pytest.mark.parametrize("budget", [0.95, 0.85])
def test_schedules_of_a_model_meet_their_budget_and_say_what_goes(setting, budget):
    found = scaled(setting, [0.0, 0.2, 1.0], budget, "tokens")
    assert found.tokens_share <= budget
    assert found.plugin.r == found.removed
    assert found.removed[0] == 0
    constant = scaled(setting, [1.0] * 3, budget, "tokens")
    assert max(constant.removed) - min(constant.removed) <= 1
