"""The recipe inside a bundle makes the same bundle again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from edgetok.recipe_file import load_recipe

FLAGS = ("bench.enabled=false", "parity.samples=2", "--json")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("replay")


@pytest.fixture
def line(line, place):
    """The command line in a folder that is empty again for every test: recipes hold its path."""
    shutil.rmtree(place / "here", ignore_errors=True)
    (place / "here").mkdir()
    return replace(line, folder=place / "here")


@pytest.fixture
def made(line, models, place):
    """A bundle made from relative paths, the model's and the target's: made once, and laid out for every test."""
    if not (place / "kept").exists():
        (place / "said.json").write_text(json.dumps(make(line, models)))
        shutil.copytree(line.folder, place / "kept")
    shutil.copytree(place / "kept", line.folder, dirs_exist_ok=True)
    return json.loads((place / "said.json").read_text())


def make(line, models):
    shutil.copytree(models["vit"], line.folder / "my model")
    target = 'name = "mine"\nsummary = "m"\nexporter = "onnx"\nruntime = "onnxruntime"\nrequires = ["onnx"]\n'
    (line.folder / "mine.toml").write_text(target + '[realisations]\nmatch = "sort-free"\nreduce = "one-hot"\n')
    said = line("optimize", "./my model", "-p", "tome:r=4", "-t", "mine.toml", "-o", "out", *FLAGS)
    assert said.status == 0, said.err
    return said.json


def test_from_any_working_directory_to_the_same_digest_and_bytes(line, made, tmp_path):
    elsewhere = type(line)(tmp_path / "elsewhere", line.capture)
    elsewhere.folder.mkdir()
    recipe = line.folder / "out" / "recipe.yaml"
    said = elsewhere("optimize", "-c", recipe, "-o", "again", *FLAGS)
    assert said.status == 0, said.err
    assert said.json["plan"] == made["plan"]
    for name in ("model.onnx", "vectors.safetensors"):
        assert (elsewhere.folder / "again" / name).read_bytes() == (line.folder / "out" / name).read_bytes(), name
    assert load_recipe(elsewhere.folder / "again" / "recipe.yaml") == load_recipe(recipe)


def test_the_report_keeps_the_name_that_the_user_wrote(made):
    assert made["report"]["model"]["source"] == "./my model"


def test_a_dry_run_in_another_process_gives_the_same_digest(line, made):
    done = subprocess.run(
        [sys.executable, "-m", "edgetok.cli", "optimize", "-c", "out/recipe.yaml", "--dry-run", "--json"],
        cwd=line.folder,
        env={**os.environ, "PYTHONHASHSEED": "99"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plan"]["digest"] == made["plan"]["digest"]


def test_a_changed_model_is_noticed(line, made):
    config = line.folder / "my model" / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 3', '"num_hidden_layers": 2'))
    said = line("optimize", "-c", "out/recipe.yaml", "--dry-run", "--json")
    assert (said.status, said.json["error"]["code"]) == (4, "ET207")


def test_an_override_of_the_plan_makes_a_new_digest(line, made):
    said = line("optimize", "-c", "out/recipe.yaml", "plugins.tome.r=2", "--dry-run", "--json")
    assert said.status == 0, said.err
    assert said.json["plan"]["digest"] != made["plan"]["digest"]


def test_a_factory_with_random_weights_replays_too(line, shop):
    (line.folder / "fresh.py").write_text((shop / "shop_models.py").read_text())
    first = line("optimize", "fresh:make", "-p", "tome:r=2", "-o", "one", *FLAGS)
    second = line("optimize", "-c", "one/recipe.yaml", "-o", "two", *FLAGS)
    assert (first.status, second.status) == (0, 0), first.err + second.err
    models = [(line.folder / name / "model.onnx").read_bytes() for name in ("one", "two")]
    assert models[0] == models[1]
    other = line("optimize", "-c", "one/recipe.yaml", "-o", "three", "seed=1", *FLAGS)
    assert other.status == 0, other.err
    assert (line.folder / "three" / "model.onnx").read_bytes() != models[0]


def test_force_replaces_a_bundle_and_leaves_nothing_beside_it(line, made, tree):
    said = line("optimize", "-c", "out/recipe.yaml", "-o", "out", "--force", "plugins.tome.r=2", *FLAGS)
    assert said.status == 0, said.err
    assert said.json["report"]["tokens"]["per_layer"] == [26, 24, 22, 20]
    assert {path.name for path in line.folder.iterdir()} == {"my model", "mine.toml", "out"}


def test_a_failed_replacement_leaves_the_bundle(line, made):
    before = (line.folder / "out" / "manifest.json").read_bytes()
    said = line("optimize", "-c", "out/recipe.yaml", "-o", "out", "--force", "--eval", "nowhere", "--json")
    assert said.status == 3
    assert (line.folder / "out" / "manifest.json").read_bytes() == before
    assert {path.name for path in line.folder.iterdir()} == {"my model", "mine.toml", "out"}


def test_odd_names(line, models):
    name = "-dash with space ünïcödé-模型 a=b {braces} $HOME 'quote'"
    link = line.folder / f"model {name}"
    link.symlink_to(models["vit"], target_is_directory=True)
    output = f"./out {name}/{name}"
    said = line("optimize", f"./{link.name}", "-p", "tome:r=4", "-o", output, *FLAGS)
    assert said.status == 0, said.err
    bundle = line.folder / output
    again = line("optimize", "-c", bundle / "recipe.yaml", "--dry-run", "--json")
    assert again.status == 0, again.err
    assert again.json["plan"]["digest"] == said.json["plan"]["digest"]
    assert line("verify", bundle).status == 0


def test_the_saved_recipe_is_the_resolved_one(line, made):
    said = line("optimize", "./my model", "-p", "tome:r=4", "--dry-run", "--save-recipe", "kept.yaml")
    assert said.status == 0, said.err
    kept = load_recipe(line.folder / "kept.yaml")
    assert kept.model == str((line.folder / "my model").resolve())
    assert kept.plan_digest
