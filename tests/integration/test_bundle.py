"""A bundle is complete: every file, every hash, every figure that the report promises."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file

from edgetok.bundle import read_bundle
from edgetok.recipe_file import load_recipe

FILES = {"README.md", "manifest.json", "model.onnx", "recipe.yaml", "report.html", "report.json", "vectors.safetensors"}
MEASURED = json.dumps({"bench": {"batches": [1, 2], "runs": 5}, "parity": {"samples": 4}})


@pytest.fixture(scope="module")
def result(delivered):
    return delivered("vit", "tome:r=4", MEASURED)


@pytest.fixture(scope="module")
def report(result):
    return json.loads(result.bundle.report.read_text())


def test_all_files_are_there_and_nothing_else(result, tree):
    assert tree(result.bundle.path) == FILES
    assert {path.name for path in result.bundle.path.parent.iterdir()} == {"out"}


def test_every_file_has_its_hash_in_the_manifest(result):
    listed = {entry.path: entry for entry in result.bundle.manifest.files}
    assert set(listed) == FILES - {"manifest.json"}
    for name, entry in listed.items():
        content = (result.bundle.path / name).read_bytes()
        assert (entry.bytes, entry.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert {listed[name].role for name in ("model.onnx", "recipe.yaml", "README.md")} == {"model", "recipe", "card"}


def test_files_have_ordinary_permissions(result):
    modes = {(result.bundle.path / name).stat().st_mode & 0o777 for name in FILES}
    assert len(modes) == 1, modes


def test_the_manifest_is_what_an_app_needs(result):
    manifest = result.bundle.manifest
    (component,) = manifest.components
    assert (component.role, component.file) == ("classifier", "model.onnx")
    assert [(t.name, t.dtype, t.shape) for t in component.inputs] == [("pixel_values", "float32", ("batch", 3, 40, 40))]
    assert [(t.name, t.dtype, t.shape) for t in component.outputs] == [("logits", "float32", ("batch", 7))]
    assert manifest.preprocessing.size == (40, 40)
    assert len(manifest.labels) == 7
    assert manifest.licence == "apache-2.0"
    assert manifest.plan_digest == result.plan.digest
    assert manifest.parity.passed
    assert {"edgetok", "torch", "onnxruntime"} <= set(manifest.versions)
    assert manifest.plugins[0].options == {"r": 4, "order": "reference", "prop_attn": True, "protect": 0.0}


def test_the_vectors_are_what_the_file_gives(result):
    manifest, vectors = result.bundle.manifest, load_file(result.bundle.path / "vectors.safetensors")
    session = onnxruntime.InferenceSession(result.bundle.path / "model.onnx")
    (logits,) = session.run(None, {"pixel_values": vectors["input.pixel_values"]})
    assert np.abs(logits - vectors["output.logits"]).max() <= manifest.vectors.tolerance["logits"]
    assert manifest.vectors.tolerance["logits"] < 1e-3 * np.abs(logits).max()
    assert len(vectors["input.pixel_values"]) == manifest.vectors.samples == 4


def test_the_report_has_every_field_that_is_promised(report):
    assert report["schema"] == "edgetok.report/1"
    assert report["model"]["name"] == "vit"
    assert report["target"]["name"] == "onnx-cpu"
    assert report["plugins"][0]["name"] == "tome"
    assert report["tokens"]["per_layer"] == [26, 22, 18, 14]
    assert report["tokens"]["dense_per_layer"] == [26, 26, 26, 26]
    assert report["refusals"] == []
    assert report["notes"] == []
    for section, keys in {
        "flops": ("dense", "optimized", "ratio", "paper_style_ratio"),
        "size_bytes": ("dense", "optimized"),
        "parity": ("passed", "max_abs", "how"),
        "latency": ("dense_ms", "optimized_ms", "ratio", "spread", "threads", "batch", "runtime", "how"),
        "memory": ("dense", "optimized", "how"),
        "load_ms": ("dense", "optimized", "how"),
    }.items():
        assert all(report[section][key] for key in keys if key != "max_abs"), section
    assert set(report["accuracy"]) >= {"n", "dense", "optimized", "drop", "ci95", "how"}
    assert report["accuracy"]["drop"] is None


def test_ratios_are_dense_over_optimised(report):
    flops = report["flops"]
    assert flops["ratio"] == pytest.approx(flops["dense"] / flops["optimized"])
    assert flops["ratio"] > 1.1
    assert flops["paper_style_ratio"] > 1.1
    low, high = report["latency"]["spread"]
    assert low <= report["latency"]["ratio"] <= high
    assert [row["batch"] for row in (report["latency"], *report["latency"]["more"])] == [1, 2]


def test_every_figure_says_how(report):
    for name in ("tokens", "flops", "size_bytes", "parity", "accuracy", "latency", "memory", "load_ms", "timings"):
        assert len(report[name]["how"]) > 10, name


def test_sizes_are_those_of_the_files(result, report):
    assert report["size_bytes"]["optimized"] == (result.bundle.path / "model.onnx").stat().st_size


def test_stages_are_timed(report):
    seconds = report["timings"]["seconds"]
    assert {"load", "capture", "plan", "rewrite", "export", "export dense", "verify"} <= set(seconds)
    assert all(value >= 0 for value in seconds.values())


def test_html_and_card_tell_the_same_story(result, report):
    html = (result.bundle.path / "report.html").read_text()
    assert html.lstrip().lower().startswith("<!doctype html>")
    assert "<svg" in html
    assert not re.search(r"""(?:src|href)\s*=\s*["']?https?://(?!arxiv|edgetok)[^"'>]*\.(?:js|css|png)""", html)
    card = (result.bundle.path / "README.md").read_text()
    assert "tome" in card
    assert "apache-2.0" in card


def test_the_recipe_is_resolved(result):
    recipe = load_recipe(result.bundle.recipe)
    assert recipe.plan_digest == result.plan.digest
    assert recipe.plugins[0].options == {"r": 4, "order": "reference", "prop_attn": True, "protect": 0.0}
    assert recipe.output is None


def test_the_report_in_memory_is_the_one_on_disk(result, report):
    assert result.report.as_dict() == report
    assert read_bundle(result.bundle.path) == result.bundle


def test_the_bundle_passes_verify_and_bench(result, line):
    checked = line("verify", result.bundle.path, "--json")
    assert checked.status == 0, checked.err
    assert [output["max_abs"] for output in checked.json["outputs"]] == [0.0]
    timed = line("bench", result.bundle.path, "--runs", "3", "--batch", "3", "--json")
    assert timed.status == 0, timed.err
    assert (timed.json["timed"][0]["batch"], timed.json["timed"][0]["runs"]) == (3, 3)
    assert timed.json["cold"]["peak_bytes"] > 0


def test_nothing_names_this_machine_but_the_recipe(result, models):
    private = str(models.root.parent)
    for name in FILES - {"recipe.yaml", "report.json", "manifest.json", "README.md", "report.html"}:
        assert private.encode() not in (result.bundle.path / name).read_bytes(), name
