"""Comparisons are paired, and the verdict says what the intervals say."""

from __future__ import annotations

import numpy as np
import pytest

from edgetok.tune.confirm import drop, kl_ratio, matched, verdict
from edgetok.tune.judge import Losses
from edgetok.tune.result import Interval, Outcome


def outcome(r, low=0.5, high=0.6):
    return Outcome(options={"r": r}, tokens=(1,), latency=Interval(value=(low + high) / 2, low=low, high=high))


def test_the_ratio_is_paired():
    kl = np.random.default_rng(0).lognormal(size=50)
    half = kl_ratio(kl / 2, kl)
    assert (half.value, half.low, half.high) == pytest.approx((0.5, 0.5, 0.5)), "the same samples: no spread"
    other = kl_ratio(np.random.default_rng(1).lognormal(size=50), kl)
    assert other.low < other.value < other.high
    assert kl_ratio(kl, np.zeros(50)) is None


def test_the_drop_has_tangos_interval():
    dense = np.array([True] * 80 + [False] * 20)
    right = np.array([True] * 75 + [False] * 25)
    found = drop(Losses(np.zeros(100), dense == right, dense, right))
    assert found.value == pytest.approx(5.0)
    assert 0 < found.low < 5 < found.high
    assert drop(Losses(np.zeros(100), dense, None, None)) is None


@pytest.mark.parametrize(
    ("ratio", "words"),
    [((0.5, 0.4, 0.8), "beats"), ((1.5, 1.2, 1.8), "is better"), ((0.9, 0.7, 1.1), "not beat"), (None, "Not compared")],
)
def test_the_verdict_follows_the_interval(ratio, words):
    interval = None if ratio is None else Interval(value=ratio[0], low=ratio[1], high=ratio[2])
    assert words in verdict(outcome(1), outcome(2), interval)


def test_a_schedule_that_is_slower_does_not_win():
    interval = Interval(value=0.5, low=0.4, high=0.6)
    assert "slower" in verdict(outcome(1, 0.7, 0.8), outcome(2), interval)
    assert "constant r itself" in verdict(outcome(1), outcome(1), interval)


def test_the_verdict_says_what_was_equal_and_what_was_measured():
    """Costs are matched by latency as measured, as predicted where it was not, or by tokens."""
    better = Interval(value=0.5, low=0.4, high=0.6)
    found = outcome(1).model_copy(update={"predicted": 0.6, "milliseconds": 5.5})
    constant = outcome(2).model_copy(update={"predicted": 0.6, "milliseconds": 5.25})
    said = verdict(found, constant, better)
    assert "at latencies that measuring cannot tell apart" in said
    assert "at no higher measured latency" in verdict(constant, found, better)
    slow = constant.model_copy(update={"latency": Interval(value=0.75, low=0.7, high=0.8)})
    assert "at lower measured latency" in verdict(found, slow, better)
    untimed = constant.model_copy(update={"latency": None, "milliseconds": None})
    assert "at equal predicted latency" in verdict(found, untimed, better)
    assert "5.50 ms, constant r 5.25 ms" in said
    assert "at an equal share of tokens" in verdict(found, constant, better, "tokens")
    not_predicted = found.model_copy(update={"predicted": None, "milliseconds": None})
    said = verdict(not_predicted, constant, better)
    assert "at an equal share of tokens" in said
    assert "ms" not in said


@pytest.mark.parametrize(
    ("wanted", "place"), [(5.0, 1), (5.1, 1), (5.2, 3), (6.0, 2)], ids=["equal", "a tie", "between", "all faster"]
)
def test_constant_r_is_given_no_less_time(wanted, place):
    assert matched(wanted, [4.9, 5.1, 5.9, 5.3]) == place


def test_removing_nothing_is_told():
    dense = outcome(0).model_copy(update={"tokens": (24, 24, 24), "predicted": 1.0})
    assert "No token is removed" in verdict(dense, dense, None)
