"""Goals are read from the command line, and choose among points."""

from __future__ import annotations

import pytest

from edgetok.errors import BadCommand
from edgetok.tune.goal import Goal, read_goal
from edgetok.tune.result import Point


def point(latency, kl, drop=0.0, agreement=100.0, share=0.5):
    return Point(
        origin="search", options={}, tokens=(), removed=(), tokens_share=share, latency=latency, kl=kl,
        agreement=agreement, drop=drop,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "kind", "value"),
    [
        ((0.5, None, None), "max-drop", 0.5),
        ((None, "0.6x", None), "latency", 0.6),
        ((None, "60%", None), "latency", 0.6),
        ((None, None, "40%"), "tokens", 0.4),
        ((None, None, "0.4"), "tokens", 0.4),
    ],
)
def test_goals_are_read(given, kind, value):
    found = read_goal(*given)
    assert (found.kind, found.value) == (kind, pytest.approx(value))


@pytest.mark.parametrize(
    "given", [(None, None, None), (0.5, "0.6x", None), (None, "fast", None), (None, None, "140%"), (None, "0x", None)]
)
def test_what_is_no_goal_is_refused(given):
    with pytest.raises(BadCommand):
        read_goal(*given)


def test_a_bound_on_cost_is_kept_and_loss_minimised():
    points = [point(0.5, 0.3), point(0.6, 0.2), point(0.7, 0.1)]
    assert Goal(kind="latency", value=0.6).best(points) is points[1]
    assert Goal(kind="latency", value=0.4).best(points) is None


def test_a_bound_on_the_drop_is_kept_and_cost_minimised():
    points = [point(0.5, 0.3, drop=1.0), point(0.6, 0.2, drop=0.5), point(0.7, 0.1, drop=-0.5)]
    assert Goal(kind="max-drop", value=0.5).best(points) is points[1]


def test_without_labels_disagreement_stands_for_the_drop():
    goal = Goal(kind="max-drop", value=2.0)
    assert goal.met_by(point(0.5, 0.1, drop=None, agreement=98.0))
    assert not goal.met_by(point(0.5, 0.1, drop=None, agreement=97.0))


def test_latency_that_is_not_known_keeps_no_bound():
    assert not Goal(kind="latency", value=0.9).met_by(point(None, 0.1))
