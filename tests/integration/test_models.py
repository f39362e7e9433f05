"""Families of models end to end, with a real runtime."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import torch

from edgetok.graph import rewrite
from edgetok.sources import load_model


def run(result, inputs):
    session = onnxruntime.InferenceSession(result.bundle.path / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def eager(directory, inputs):
    """The model itself, in torch."""
    component = load_model(str(directory)).only
    weights = component.weights()
    module = component.module
    with torch.no_grad():
        found = torch.func.functional_call(module, dict(weights), (), {k: torch.tensor(v) for k, v in inputs.items()})
    return {key: value.numpy() for key, value in found.items()}


def pixels(seed=7):
    return {"pixel_values": np.random.default_rng(seed).standard_normal((3, 3, 40, 40), dtype=np.float32)}


def close(found, wanted):
    return np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_r_0_delivers_the_dense_model(delivered, models):
    merged, dense = delivered("vit", "tome:r=0"), delivered("vit")
    assert (merged.bundle.path / "model.onnx").read_bytes() == (dense.bundle.path / "model.onnx").read_bytes()
    assert merged.report.tokens.per_layer == (26, 26, 26, 26)
    assert merged.report.flops.ratio == 1.0
    assert close(run(merged, pixels())["logits"], eager(models["vit"], pixels())["logits"])


def test_a_merged_model_answers_for_any_batch(delivered):
    result = delivered("vit", "tome:r=4")
    together = run(result, pixels())["logits"]
    for index, row in enumerate(together):
        alone = run(result, {"pixel_values": pixels()["pixel_values"][index : index + 1]})["logits"]
        assert close(alone[0], row)


@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_outputs_per_token_are_restored(delivered, models, name):
    result = delivered(name, "tome:r=4")
    dense = eager(models[name], pixels())
    found = run(result, pixels())
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in dense.items()}
    assert result.report.tokens.per_layer[-1] == 26 - 3 * 4
    hidden = found["last_hidden_state"]
    merged = [len(np.unique(sample.round(5), axis=0)) for sample in hidden]
    assert all(count <= 26 - 3 * 4 for count in merged)
    assert not close(hidden, dense["last_hidden_state"])


def sentence(real, length=24, seed=0):
    """A batch of one sentence with ``real`` words, padded to ``length``."""
    ids = np.zeros((1, length), np.int64)
    ids[0, :real] = np.random.default_rng(seed).integers(1, 64, real)
    return {"input_ids": ids, "attention_mask": (np.arange(length) < real)[None].astype(np.int64)}


def test_text_with_padding(delivered, models):
    result = delivered("bert", "tome:r=2")
    assert result.report.tokens.per_layer == (24, 22, 20, 18)
    inputs = [sentence(real, seed=real) for real in (24, 17, 12, 9)]
    batch = {key: np.concatenate([sample[key] for sample in inputs]) for key in inputs[0]}
    together = run(result, batch)["logits"]
    assert np.isfinite(together).all()
    for index, sample in enumerate(inputs):
        assert close(run(result, sample)["logits"][0], together[index])


def test_padding_merges_first_so_that_short_text_is_untouched(delivered, models):
    """With 12 of 24 tokens padding and 6 merged, only padding goes: the answer is the dense model's."""
    result = delivered("bert", "tome:r=2")
    for real in (5, 12):
        sample = sentence(real, seed=real)
        assert close(run(result, sample)["logits"], eager(models["bert"], sample)["logits"])
    full = sentence(24)
    assert not close(run(result, full)["logits"], eager(models["bert"], full)["logits"])


def test_what_padding_holds_does_not_matter(delivered):
    result = delivered("bert", "tome:r=2")
    sample = sentence(15)
    other = {**sample, "input_ids": np.where(sample["attention_mask"] == 0, 63, sample["input_ids"])}
    assert close(run(result, other)["logits"], run(result, sample)["logits"])


def test_a_list_and_a_cap(delivered):
    result = delivered("vit", "tome:r=[6,0,1000]")
    assert result.report.tokens.per_layer == (26, 20, 20, 11)
    assert ["capped" in note for note in result.report.notes] == [True]
    assert "capped at 9" in str(result.plan)


def test_the_dense_program_is_bit_equal_to_the_model(models):
    from edgetok.progress import Silent
    from edgetok.recipe_file import make_recipe
    from edgetok.session.clock import Clock
    from edgetok.session.prepare import find_tools, prepare, with_weights

    recipe = make_recipe({"model": str(models["vit"]), "plugins": "tome:r=0"})
    prepared = with_weights(prepare(recipe, find_tools(recipe), None, Clock(Silent())))
    assert prepared.steps == []
    inputs = {name: torch.tensor(array) for name, array in pixels().items()}
    with torch.no_grad():
        (logits,) = rewrite(prepared.program).exported.module()(**inputs)
    assert np.array_equal(logits.numpy(), eager(models["vit"], pixels())["logits"])


@pytest.mark.slow
def test_the_sample_model(line, repository):
    """What ``make demo`` does, smaller: trained weights, real pictures."""
    from edgetok.sources.samples import sample_roots

    if not any((root / "vit_digits" / "config.json").exists() for root in sample_roots()):
        pytest.skip("the trained sample is not in this tree")
    said = line("optimize", "sample:vit_digits", "--plugins", "tome:r=16", "-o", "out", "--no-bench", "--json")
    assert said.status == 0, said.err
    report = json.loads((line.folder / "out" / "report.json").read_text())
    assert report["tokens"]["per_layer"] == [257, 241, 225, 209, 193, 177, 161, 145, 129]
    assert report["parity"]["passed"]
    assert report["parity"]["task"]["top1"] == 1.0
