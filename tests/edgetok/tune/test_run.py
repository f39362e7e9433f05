"""From a goal to a recipe that replays: nothing in between is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import pytest

from edgetok.errors import BadSchedule, OutputExists
from edgetok.recipe_file import load_recipe
from edgetok.session import optimize
from edgetok.tune import Goal, StudySettings, Tuned, curve, run, tune
from edgetok.tune.page import frontier, render_html
from edgetok.tune.result import Interval
from edgetok.tune.setting import Setting
from edgetok_plugins.tome import ToMe

GOAL = Goal(kind="latency", value=0.9)


@pytest.fixture(scope="module")
def tuned(model, tmp_path_factory):
    """One search for a latency, with a curve measured in onnxruntime."""
    pytest.importorskip("optuna", reason="the extra 'tune' is not installed")
    from edgetok.recipe_file import make_recipe

    output = tmp_path_factory.mktemp("tuned") / "out"
    parts = {
        "plugins": "tome:r=2",
        "bench": {"runs": 5},
        "calibration": {"data": "tune_samples:tuning"},
        "eval": {"data": "tune_samples:evaluation"},
    }
    recipe = make_recipe({"model": "tiny", **parts}, source="test")
    goal, every = Goal(kind="tokens", value=0.7), curve.programs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve, "programs", lambda setting: every(setting)[::2])  # exports are slow
        return tune(recipe, goal, output, settings=StudySettings(trials=5), model=model), output


def test_files_are_complete_and_read_back(tuned):
    result, output = tuned
    assert sorted(path.name for path in output.iterdir()) == ["recipe.yaml", "tune.html", "tune.json"]
    assert Tuned.from_json((output / "tune.json").read_text()) == result


def test_the_recipe_replays_to_the_schedule_found(tuned, model):
    result, output = tuned
    recipe = load_recipe(output / "recipe.yaml")
    assert recipe.plan_digest
    plan = optimize(recipe, model=model, dry_run=True).plan
    assert plan.digest == recipe.plan_digest
    assert plan.tokens[1:] == result.best.tokens == result.found.tokens


def test_the_goal_is_kept_and_latency_is_measured(tuned):
    result, _ = tuned
    assert result.reached
    assert result.best.tokens_share <= 0.7
    assert result.curve is not None
    assert len(result.curve.rows) >= 4
    assert all(row.spread[0] <= row.measured <= row.spread[1] for row in result.curve.rows)
    assert result.found.latency is not None
    assert result.found.drop is not None
    assert "16 samples of tune_samples:evaluation" in result.evaluated_on
    assert {p.origin for p in result.points} >= {
        "constant",
        "constant from layer 2",
        "constant, protect 0.05",
        "threshold",
    }
    assert any(row.guessed for row in result.curve.rows)


def test_the_page_shows_everything_and_fetches_nothing(tuned):
    result, output = tuned
    page = (output / "tune.html").read_text()
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["']?http""", page)
    assert page.count("<svg") >= 1
    for shown in (result.verdict, "Pareto plot", "recipe.yaml", " ".join(map(str, result.found.tokens))):
        assert shown in page
    hostile = result.model_copy(update={"model": "<img src=x>"})
    assert "<img" not in render_html(hostile)


def test_a_goal_that_only_a_prediction_kept_is_told(tuned):
    result = tuned[0]
    measured = {value: result.found.model_copy(update={"latency": interval(value)}) for value in (0.6, 0.83)}
    goal = Goal(kind="latency", value=0.8)
    near, above = (result.model_copy(update={"goal": goal, "found": measured[value]}) for value in (0.6, 0.83))
    assert (result.shortfall, near.shortfall) == (None, None)
    assert "0.83 (0.82 to 0.84) of dense, is above the goal" in (above.shortfall or "")
    assert above.shortfall in render_html(above)
    unmet = result.model_copy(update={"reached": False}).shortfall
    assert "not reached on the tuning data" in (unmet or "")


def interval(value):
    return Interval(value=value, low=value - 0.01, high=value + 0.01)


def test_the_frontier_is_what_nothing_beats(tuned):
    points = tuned[0].points
    kept = frontier(points)
    assert kept
    for point in points:
        assert any(k.cost <= point.cost and k.kl <= point.kl for k in kept)
    costs = [k.cost for k in kept]
    assert costs == sorted(costs)


def test_one_threshold_needs_no_optuna_and_no_evaluation_data(model, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("edgetok.tune.curve.is_measurable", lambda setting: False)
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    chosen = recipe(eval={"data": None})
    found = tune(chosen, Goal(kind="tokens", value=0.7), tmp_path / "out", method="threshold", model=model)
    assert found.best.origin in {"threshold", "constant"}
    assert any(point.origin == "threshold" for point in found.points)
    assert (found.curve, found.trials, found.kl_ratio) == (None, 0, None)
    assert "no evaluation data" in found.evaluated_on


def test_where_merging_only_costs_nothing_is_merged(model, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("edgetok.tune.curve.is_measurable", lambda setting: False)
    monkeypatch.setattr("edgetok.tune.setting.Setting.cost", lambda self, candidate, kind: 1.0 + candidate.merges)
    monkeypatch.setattr(
        "edgetok.tune.result.Point.cost", property(lambda point: 1.0 + sum(n > 0 for n in point.removed))
    )
    chosen = recipe(eval={"data": None})
    found = tune(chosen, Goal(kind="max-drop", value=50), tmp_path / "out", method="threshold", model=model)
    assert found.best.origin == "dense"
    assert set(found.found.tokens) == {24}
    plan = optimize(load_recipe(tmp_path / "out" / "recipe.yaml"), model=model, dry_run=True).plan
    assert set(plan.tokens) == {24}


def test_an_impossible_goal_is_refused_and_leaves_nothing(model, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("edgetok.tune.curve.is_measurable", lambda setting: False)
    with pytest.raises(BadSchedule, match="No schedule"):
        tune(recipe(), Goal(kind="tokens", value=0.01), tmp_path / "out", method="threshold", model=model)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(model, recipe, tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(OutputExists):
        tune(recipe(), GOAL, tmp_path, model=model)


def test_a_study_without_latency_compares_tokens(tuned):
    point = tuned[0].best.model_copy(update={"latency": None})
    assert point.cost == point.tokens_share
    page = render_html(replace_best(tuned[0], point))
    assert "tokens of dense" in page


def test_a_study_is_of_the_values_of_options_and_of_no_schedule(prepared, judge):
    """Else points of ``tome:prop_attn=false`` would be taken for points of ``tome``."""

    def about(**options):
        tools = replace(prepared.tools, plugins=(ToMe(**options),))
        return run._about(SimpleNamespace(setting=Setting.of(replace(prepared, tools=tools)), judge=judge))

    assert about(r=2) == about(r=(3, 1, 0))
    different = [about(), about(prop_attn=False), about(order="kept"), about(protect=0.02)]
    assert all(a != b for a, b in combinations(different, 2))


def replace_best(result, point):
    return result.model_copy(update={"best": point, "points": (point, point), "curve": None})
