"""The comparison of reductions: what is chosen on one half never sees the other, and budgets are met."""

from __future__ import annotations

import json
from argparse import Namespace

import numpy as np
import pytest
import torch

from edgetok.evaluate import load_dataset
from edgetok.graph import capture, find_sites
from edgetok.model import Component
from edgetok.session.inputs import Fitted
from edgetok.target import Target
from edgetok.tune.judge import Judge, Losses
from edgetok_plugins.tome import ToMe


def losses(kl) -> Losses:
    every = np.ones(len(kl), bool)
    return Losses(np.asarray(kl, np.float64), every, every, every)


def test_the_choice_is_made_on_the_other_half(benchmark):
    halves = benchmark("_halves")
    samples = 40
    even = np.arange(samples) % 2 == 0
    good_on_even = halves.Trial("even", losses(np.where(even, 0.1, 0.9)))
    good_on_odd = halves.Trial("odd", losses(np.where(even, 0.9, 0.1)))
    found = halves.crossed([good_on_even, good_on_odd], losses(np.full(samples, 0.5)))
    assert [each["method"] for each in found["folds"]] == ["even", "odd"]
    assert [each["ratio"]["value"] for each in found["folds"]] == pytest.approx([1.8, 1.8])
    assert found["both"]["ratio"]["value"] == pytest.approx(1.8)
    assert found["both"]["samples"] == samples


def test_the_ratio_is_paired(benchmark):
    """A method that is always 0.8 of the baseline has no doubt, however much pictures differ."""
    halves = benchmark("_halves")
    kl = np.random.default_rng(0).exponential(1.0, 200)
    found = halves.figures(losses(0.8 * kl), losses(kl))
    assert found["ratio"] == pytest.approx({"value": 0.8, "low": 0.8, "high": 0.8})
    assert found["kl"]["high"] - found["kl"]["low"] > 0.1


def test_what_was_kept_is_found_until_something_it_depends_on_changes(benchmark, tmp_path):
    store = benchmark("_store")
    here = store.Store(tmp_path, "code 1")
    here.keep_losses(losses([0.5, 0.25]), "tome", {"r": 8})
    assert here.losses("tome", {"r": 8}).kl.tolist() == [0.5, 0.25]
    assert here.losses("tome", {"r": 9}) is None
    assert store.Store(tmp_path, "code 2").losses("tome", {"r": 8}) is None


@pytest.fixture(scope="module")
def subject(benchmark):
    """A ViT of six blocks, 17 tokens, whose MLP is four times as wide as its stream, as all ViTs' are."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=6, num_attention_heads=2, intermediate_size=64, image_size=16, patch_size=4
    )
    pixels = {"pixel_values": torch.randn(2, 3, 16, 16)}
    model = transformers.ViTForImageClassification(config).eval()
    program = capture(Component("model", model, pixels, {"pixel_values": {0: "batch"}}, "classifier"))
    target = Target(name="t", summary="", exporter="onnx", runtime="onnxruntime")
    return benchmark("_vit_tiny").Subject(None, program, tuple(find_sites(program)), target)


def test_flops_are_foreseen_from_numbers_of_tokens(benchmark, subject):
    plugin = ToMe(r=(5, 3))
    counted = benchmark("_vit_tiny").count_flops(subject.rewritten(plugin), subject.target.realisations)
    inserted = 100 * counted.categories["matching"] / subject.dense_flops.total
    assert subject.estimate(plugin) == pytest.approx(subject.flops_saved(plugin) + inserted, abs=0.01)
    assert inserted > 0.1


def test_a_budget_is_met_with_what_is_inserted_counted(benchmark, subject):
    methods, budget = benchmark("_methods"), benchmark("_budget")
    found = budget.at_budget(subject, methods.BASELINE.ladder, 20.0)
    assert found.saved == pytest.approx(subject.flops_saved(found.plugin))
    assert found.saved == pytest.approx(20.0, abs=2.0)
    rungs = {subject.tokens(plugin): plugin for plugin in methods.BASELINE.ladder(subject)}
    near = [plugin for plugin in rungs.values() if abs(subject.estimate(plugin) - 20.0) < 1.5]
    best = min(abs(subject.flops_saved(plugin) - 20.0) for plugin in near)
    assert abs(found.saved - 20.0) <= best + 1.0


def test_every_method_has_a_program_at_a_budget(benchmark, subject):
    """A ladder that misses by far, or a method that the model refuses, would compare unequal programs."""
    methods = benchmark("_methods")
    for method in (*methods.METHODS, *methods.CONTENDERS):
        estimates = [subject.estimate(plugin) for plugin in method.ladder(subject)]
        assert min(abs(estimate - 20.0) for estimate in estimates) < 6.0, method.name


@pytest.fixture
def judge(subject) -> Judge:
    pictures = [({"pixel_values": np.random.default_rng(i).standard_normal((3, 16, 16))}, i % 2) for i in range(8)]
    return Judge(subject.program, Fitted(load_dataset(pictures, None), subject.program.inputs), 4, labelled=True)


def test_both_halves_from_fitting_to_timing(benchmark, subject, judge, tmp_path, monkeypatch):
    reductions, methods = benchmark("reductions"), benchmark("_methods")
    monkeypatch.setattr(reductions, "METHODS", methods.METHODS[3:4])
    monkeypatch.setattr(reductions, "CONTENDERS", methods.METHODS[:1])
    monkeypatch.setattr(reductions, "COMPARED", (20,))
    store = benchmark("_store").Store(tmp_path, "")
    found = reductions.accuracy(subject, judge, store, [20])
    (row,), (half,) = found["rows"], found["halves"]
    assert row["plugin"] == "tome"
    assert row["samples"] == 8
    assert half["saved"] == pytest.approx(20.0, abs=6.0)
    assert [fold["samples"] for fold in half["folds"]] == [4, 4]
    assert half["all"]["tome, constant r"]["ratio"]["value"] == pytest.approx(1.0)
    assert json.loads(json.dumps(found)) == found
    timed = reductions.latency(subject, judge, store, Namespace(budget=[20], seconds=0.1))
    assert [{key: each[key] for key in ("method", "budget", "options", "saved")} for each in timed["rows"]] == [
        {key: row[key] for key in ("method", "budget", "options", "saved")}
    ]
    assert row["options"], "what says of which program the latency is"
    latency = timed["rows"][0]["latency"]
    assert 0 < latency["low"] <= latency["value"] <= latency["high"]
