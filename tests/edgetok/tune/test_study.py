"""A study finds, is resumed, is joined, and survives Ctrl-C."""

from __future__ import annotations

import sys

import pytest

from edgetok.errors import BadCommand, MissingExtra
from edgetok.progress import Silent
from edgetok.tune.curve import SHARES
from edgetok.tune.goal import Goal
from edgetok.tune.result import Curve
from edgetok.tune.study import (
    Search,
    StudySettings,
    baselines,
    first_guesses,
    keep_baselines,
    measured,
    open_study,
    share_curve,
    shared_curve,
)

optuna = pytest.importorskip("optuna", reason="the extra 'tune' is not installed")

GOAL = Goal(kind="tokens", value=0.7)
FREE = Goal(kind="max-drop", value=1.0)


@pytest.fixture
def search(setting, judge, tmp_path):
    """A search in a file; keywords are settings of the study."""

    def make(goal=GOAL, about="this", **settings):
        chosen = StudySettings(storage=str(tmp_path / "study.db"), **settings)
        return Search(open_study(chosen, goal, {"about": about}), setting, judge, goal)

    return make


def test_every_trial_keeps_the_budget_and_constant_r_is_among_them(search):
    first = search()
    first.run(6, first_guesses(3), Silent())
    points = first.points()
    assert [p.origin for p in points][:3] == ["constant", "decreasing", "increasing"]
    assert {p.origin for p in points[3:]} == {"search"}
    assert all(GOAL.met_by(p) for p in points)
    assert max(points[0].removed) - min(points[0].removed) <= 1


def test_a_study_is_resumed_and_joined(search):
    search().run(3, first_guesses(3), Silent())
    again = search(seed=1)
    assert len(again.points()) == 3
    again.run(2, first_guesses(3), Silent())
    assert len(again.points()) == 5
    assert [p.origin for p in again.points()].count("constant") == 1, "guesses are not tried twice"
    other = search()
    assert len(other.points()) == 5, "another process sees what this one found"


def test_the_first_curve_and_all_baselines_are_shared(search, setting, judge):
    first, second = search().study, search().study
    curve = Curve(
        shares=SHARES, saved=(0, 0.1, 0.2, 0.3), merge=0, dense_ms=1, rows=(), threads=1, load_average=None, how="mine"
    )
    assert shared_curve(second) is None
    assert share_curve(first, curve) == curve
    assert share_curve(second, curve.model_copy(update={"how": "late"})) == curve
    point = measured(setting, judge, setting.candidate([2, 2, 2]), "constant")
    keep_baselines(first, [point])
    assert baselines(second) == [point]


def test_a_study_of_something_else_is_not_joined(search):
    search()
    with pytest.raises(BadCommand, match="something else"):
        search(about="that")
    with pytest.raises(BadCommand):
        search(goal=FREE)


def test_a_storage_that_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(BadCommand, match="cannot be opened"):
        open_study(StudySettings(storage=str(tmp_path / "no" / "such" / "folder.db")), GOAL, {})


def test_without_optuna_the_way_out_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match="optuna") as caught:
        open_study(StudySettings(), GOAL, {})
    assert "edgetok[tune]" in caught.value.hint


def test_ctrl_c_keeps_what_is_done(search, monkeypatch):
    found = search()
    answer = Search._objective
    calls = iter(range(9))

    def pressed(self, trial):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return answer(self, trial)

    monkeypatch.setattr(Search, "_objective", pressed)
    with pytest.raises(KeyboardInterrupt):
        found.run(5, first_guesses(3), Silent())
    assert len(search().points()) == 2


def test_a_goal_that_leaves_the_budget_free_has_two_objectives(search):
    found = search(goal=FREE)
    found.run(7, {"constant": [1.0] * 3}, Silent())
    assert len(found.study.directions) == 2
    points = found.points()
    assert [p.origin for p in points].count("constant") == 5
    assert len({p.tokens_share for p in points}) >= 4
    best = FREE.best(points)
    assert best is None or best.loss_points <= 1.0
