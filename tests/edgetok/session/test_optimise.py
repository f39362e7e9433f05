from pathlib import Path

import pytest

from edgetok.errors import BadCommand, OutputExists, OutputNotWritable
from edgetok.recipe import ParitySettings
from edgetok.recipe_file import make_recipe
from edgetok.session import optimize
from edgetok.session.optimise import _absolute, _absolute_data, _within_reach

MODEL = "edgetok.testing.zoo:transformer_encoder"


def recipe(**parts):
    return make_recipe({"model": MODEL, "plugins": "tome:r=2", **parts})


def test_a_dry_run_resolves_the_recipe():
    result = optimize(recipe(target="onnx"), dry_run=True)
    assert result.recipe.plan_digest == result.plan.digest
    assert result.recipe.target == "onnx-cpu"
    assert result.recipe.model == MODEL
    assert result.recipe.plugins[0].options == {"r": 2, "order": "reference", "prop_attn": True, "protect": 0.0}
    again = optimize(result.recipe, dry_run=True)
    assert (again.recipe, again.plan) == (result.recipe, result.plan)


@pytest.mark.parametrize(("said", "most", "expected"), [({}, 4, 4), ({"samples": 6}, 4, 6), ({}, None, 8), ({}, 32, 8)])
def test_a_slow_simulator_compares_few_samples_unless_told(said, most, expected):
    assert _within_reach(ParitySettings(**said), most).samples == expected


def test_paths_become_absolute_and_other_references_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    here = str(Path.cwd() / "data")
    assert _absolute("data") == _absolute("./data") == here
    assert _absolute("sample:vit_digits") == "sample:vit_digits"
    assert _absolute_data("imagefolder:data") == f"imagefolder:{here}"
    assert _absolute_data("data") == here
    assert _absolute_data("package.module:samples") == "package.module:samples"


@pytest.mark.parametrize("output", [None, ""])
def test_no_output(output):
    with pytest.raises(BadCommand, match="No output"):
        optimize(recipe(output=output))


def test_the_working_directory_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(OutputExists, match="working directory"):
        optimize(recipe(output="."))
    monkeypatch.chdir(tmp_path / "here" / "below")
    (tmp_path / "here" / "manifest.json").write_text("{}")
    with pytest.raises(OutputExists, match="working directory"):
        optimize(recipe(output=".."), force=True)


@pytest.mark.parametrize("output", ["o\0ut", "o" * 300, "~nobody-of-that-name/out"])
def test_impossible_outputs(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputNotWritable):
        optimize(recipe(output=output))
    assert list(tmp_path.iterdir()) == []
