"""Rates by gradient: the budget is met, the loss falls, and the recipe replays."""

from __future__ import annotations

import pytest

from edgetok.errors import BadSchedule
from edgetok.progress import Silent
from edgetok.recipe_file import load_recipe, make_recipe
from edgetok.session.clock import Clock
from edgetok.session.prepare import find_tools, prepare
from edgetok.tune import Goal, tune
from edgetok.tune.gradient import learn
from edgetok.tune.setting import Setting


@pytest.fixture(scope="module")
def setting_of(model):
    def make(plugins):
        wanted = make_recipe({"model": "tiny", "plugins": plugins}, source="test")
        return Setting.of(prepare(wanted, find_tools(wanted), model, Clock(Silent())))

    return make


@pytest.mark.parametrize("plugins", ["diffrate", "tome:r=2"])
@pytest.mark.parametrize("kind", ["tokens", "latency"])
def test_the_budget_is_met_and_the_loss_falls(plugins, kind, setting_of, judge):
    setting = setting_of(plugins)
    learned = learn(setting, judge, 0.7, kind, steps=40)
    assert 0.6 < setting.cost(learned.candidate, kind) <= 0.7
    best = learned.rounds[learned.best]
    assert abs(best.cost / learned.target - 1) < 0.05, "learning itself stays at the budget"
    assert best.divergence < learned.rounds[0].divergence, "the divergence from dense falls"


def test_the_program_is_left_alone(setting_of, judge):
    setting = setting_of("diffrate")
    program = setting.prepared.program
    before = {name: tensor.clone() for name, tensor in program.exported.state_dict.items()}
    learn(setting, judge, 0.8, "tokens", steps=2)
    for name, tensor in program.exported.state_dict.items():
        assert tensor.equal(before[name])
        assert tensor.grad is None, "weights get no gradient"


def test_a_method_without_counts_per_layer_is_refused(model, tmp_path):
    parts = {"plugins": "temporal:frames=4", "calibration": {"data": "tune_samples:tuning"}}
    recipe = make_recipe({"model": "tiny", **parts}, source="test")
    with pytest.raises(BadSchedule, match="no counts per layer"):
        tune(recipe, Goal(kind="tokens", value=0.8), tmp_path / "out", method="gradient", model=model)


def test_the_recipe_holds_the_counts(model, tmp_path):
    data = {"calibration": {"data": "tune_samples:tuning"}, "eval": {"data": "tune_samples:evaluation"}}
    recipe = make_recipe({"model": "tiny", "plugins": "diffrate", "bench": {"runs": 5}, **data}, source="test")
    goal = Goal(kind="tokens", value=0.7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgetok.tune.stages.curves.is_measurable", lambda setting: False)  # exports are slow
        result = tune(recipe, goal, tmp_path / "out", method="gradient", model=model)
    assert [point.origin for point in result.points].count("gradient") == 1
    (use,) = load_recipe(tmp_path / "out" / "recipe.yaml").plugins
    assert sum(use.options["prune"]) + sum(use.options["merge"]) == sum(result.best.removed)
