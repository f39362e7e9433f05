"""A study finds, is resumed, is joined, and survives Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgetok.errors import BadCommand, MissingExtra
from edgetok.progress import Silent
from edgetok.tune.curve import SHARES
from edgetok.tune.goal import Goal
from edgetok.tune.guesses import Guess, first_guesses
from edgetok.tune.result import Curve
from edgetok.tune.schedule import scaled
from edgetok.tune.study import (
    ATTEMPTS,
    Search,
    StudySettings,
    baselines,
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


def test_every_trial_keeps_the_budget_and_every_guess_is_tried(search, setting):
    first, guesses = search(), first_guesses(setting)
    first.run(len(guesses) + 3, guesses, Silent())
    points = first.points()
    assert [p.origin for p in points] == [*(g.origin for g in guesses), *["search"] * 3]
    assert all(GOAL.met_by(p) for p in points)
    assert max(points[0].removed) - min(points[0].removed) <= 1


def test_a_guess_that_starts_late_is_that_schedule(search, setting):
    """What no line through five places can say: nothing in the first layers, the same in all others."""
    found = search()
    found.run(2, [Guess("late", start=1), Guess("late, protected", start=1, options={"protect": 0.05})], Silent())
    for point, protect in zip(found.points(), (0.0, 0.05), strict=True):
        first, *others = point.removed
        assert first == 0
        assert max(others) - min(others) <= 1
        assert min(others) > 0
        assert point.options["protect"] == protect


def test_the_sampler_draws_where_schedules_start_and_options(search, setting):
    found = search()
    found.run(12, [], Silent())
    assert {trial.params["start"] for trial in found.study.trials} == {0, 1}
    assert len({point.options["protect"] for point in found.points()}) > 6


def test_a_study_is_resumed_and_joined(search, setting):
    guesses = first_guesses(setting)
    search().run(3, guesses, Silent())
    again = search(seed=1)
    assert len(again.points()) == 3
    again.run(2, guesses, Silent())
    assert len(again.points()) == 5
    assert [p.origin for p in again.points()].count("constant") == 1, "guesses are not tried twice"
    other = search()
    assert len(other.points()) == 5, "another process sees what this one found"


ANOTHER = """
import runpy, sys, time
from pathlib import Path
import torch
from edgetok.model import Model
from edgetok.progress import Silent
from edgetok.recipe_file import make_recipe
from edgetok.session.clock import Clock
from edgetok.session.evidence import find_data
from edgetok.session.prepare import find_tools, prepare
from edgetok.testing.zoo import component
from edgetok.tune.goal import Goal
from edgetok.tune.guesses import first_guesses
from edgetok.tune.judge import Judge
from edgetok.tune.setting import Setting
from edgetok.tune.study import Search, StudySettings, open_study

folder, place, shared = Path(sys.argv[1]), int(sys.argv[2]), runpy.run_path(sys.argv[3])
torch.set_num_threads(1)
x = torch.randn(2, shared["TOKENS"], shared["CHANNELS"], generator=torch.Generator().manual_seed(0))
part = component("model", shared["Classifier"](), {"x": x}, role="classifier")
recipe = make_recipe({"model": "tiny", "plugins": "tome:r=2"}, source="test")
prepared = prepare(recipe, find_tools(recipe), Model(name="tiny", components={"model": part}, source="tiny"),
                   Clock(Silent()))
data = find_data(prepared, recipe, [({"x": x[0].numpy()}, 0), ({"x": x[1].numpy()}, 1)])
judge, goal = Judge(prepared.program, data, 2, True), Goal(kind="tokens", value=0.7)
(folder / f"{place}.ready").touch()
while len(list(folder.glob("*.ready"))) < 2:
    time.sleep(0.01)
settings = StudySettings(storage=str(folder / "study.db"), seed=place)
search = Search(open_study(settings, goal, {"about": "this"}), Setting.of(prepared), judge, goal)
search.run(2, first_guesses(search.setting)[:3], Silent())
"""
"""A process that waits for the other, opens the study at the same moment, and makes two trials."""


@pytest.mark.parametrize("fails", [1, 100])
def test_storage_that_another_makes_at_the_moment_is_tried_again(fails, search, monkeypatch):
    """optuna wraps what the database says in an error of its own."""
    tries, make = [], optuna.create_study

    def racing(**settings):
        tries.append(settings)
        if len(tries) <= fails:
            raise optuna.exceptions.StorageInternalError("in the commit") from RuntimeError("table already exists")
        return make(**settings)

    monkeypatch.setattr(optuna, "create_study", racing)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    if fails == 1:
        assert search().study.trials == []
        assert len(tries) == 2
    else:
        with pytest.raises(BadCommand, match="cannot be opened"):
            search()
        assert len(tries) == ATTEMPTS


@pytest.mark.exhaustive
def test_two_processes_make_and_fill_one_study(search, tmp_path):
    shared = Path(__file__).with_name("conftest.py")
    both = [
        subprocess.Popen([sys.executable, "-c", ANOTHER, tmp_path, str(i), shared], stderr=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    for process in both:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
    trials = search().study.trials
    done = [trial for trial in trials if trial.state.is_finished()]
    assert sorted(trial.number for trial in trials) == list(range(len(trials)))
    assert len(done) == len(search().points()) == 4, "two of each, none lost and none made by both"


def test_a_baseline_is_not_judged_again_as_a_guess(search, setting, judge):
    found, constant = search(), scaled(setting, [1.0] * 3, GOAL.value, GOAL.kind)
    known = measured(setting, judge, constant, "constant").model_copy(update={"kl": 123.0})
    keep_baselines(found.study, [known])
    found.run(1, [Guess("constant")], Silent())
    assert found.points() == [known]


def test_the_first_curve_and_all_baselines_are_shared(search, setting, judge):
    first, second = search().study, search().study
    curve = Curve(
        shares=SHARES, saved=(0, 0.1, 0.2, 0.3), merge=0, dense_ms=1, rows=(), threads=1, load_average=None, how="mine"
    )
    assert shared_curve(second, {}) is None
    assert share_curve(first, curve) == curve
    assert share_curve(second, curve.model_copy(update={"how": "late"})) == curve
    point = measured(setting, judge, setting.candidate([2, 2, 2]), "constant")
    keep_baselines(first, [point])
    assert baselines(second) == [point]


def test_a_curve_that_was_not_timed_with_the_guesses_is_made_anew(search):
    """An older one, without ``guessed``, has nothing of what moving them costs."""
    study = search().study
    kept = '{"shares": [1], "saved": [0], "merge": 0, "dense_ms": 1, "rows": [], "threads": 1, "load_average": null'
    study.set_user_attr("curve", kept + ', "how": "older"}')
    assert shared_curve(study, {}).how == "older"
    assert shared_curve(study, {"protect": 0.05}) is None
    anew = shared_curve(study, {}).model_copy(update={"guessed": {"protect": 0.05}, "how": "anew"})
    assert share_curve(study, anew) == anew
    assert shared_curve(study, {"protect": 0.05}) == anew


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


def test_ctrl_c_keeps_what_is_done(search, setting, monkeypatch):
    found = search()
    answer = Search._objective
    calls = iter(range(9))

    def pressed(self, trial):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return answer(self, trial)

    monkeypatch.setattr(Search, "_objective", pressed)
    with pytest.raises(KeyboardInterrupt):
        found.run(5, first_guesses(setting), Silent())
    assert len(search().points()) == 2


def test_a_goal_that_leaves_the_budget_free_has_two_objectives(search):
    found = search(goal=FREE)
    found.run(9, [Guess("constant"), Guess("other", start=1)], Silent())
    assert len(found.study.directions) == 2
    points = found.points()
    assert [p.origin for p in points].count("constant") == 5
    assert [p.origin for p in points].count("other") == 2
    assert len({p.tokens_share for p in points}) >= 4
    best = FREE.best(points)
    assert best is None or best.loss_points <= 1.0
