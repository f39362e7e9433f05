"""Expedit keeps every promise of a reduction, also where every token is needed again: depth and segmentation."""

from __future__ import annotations

import pytest
import torch

from edgetok.registry import installed
from edgetok.testing import PluginConformance, digits, zoo
from edgetok.testing.architectures import ARCHITECTURES
from edgetok.testing.cases import Case, RefusalCase
from edgetok.testing.trial import Subject, Trial, difference, run, subject

Expedit = installed().plugins["expedit"].value
NAMED = {architecture.name: architecture for architecture in ARCHITECTURES}
HALF = Expedit(layer=0, side=0.5)
DENSE = {"dpt": (4, 4), "depth-anything": (4, 4), "segformer": (8, 8)}
"""Models of dense prediction, and the grids that their attentions start from."""


def named(name: str):
    """A factory for an architecture of the support table."""

    def made():
        pytest.importorskip("transformers", reason="the architectures are those of transformers")
        return NAMED[name].component()

    return made


FACTORIES = {"dpt": named("DPT"), "depth-anything": named("Depth Anything"), "segformer": named("SegFormer")}


class TestExpedit(PluginConformance):
    plugin = Expedit(layer=0, side=0.6)
    zero = Expedit(side=1.0)
    accepts = (
        *zoo.accepted("vit", "siglip"),
        Case("dpt", FACTORIES["dpt"], HALF, export=False),
        Case("segformer", FACTORIES["segformer"], HALF, export=False),
        digits.case(Expedit(layer=2, side=0.5, prop_attn=True, temperature=0.3), at_most=8e-5, every=5, task_only=True),
    )
    refuses = (*zoo.REFUSED, RefusalCase("text", zoo.transformer_encoder, "grid of patches"))


@pytest.mark.parametrize("name", ["dpt", pytest.param("depth-anything", marks=pytest.mark.exhaustive), "segformer"])
def test_predictions_keep_their_grid(name):
    trial = Trial(HALF, subject(FACTORIES[name]))
    height, width = DENSE[name]
    assert trial.steps[0].site.grid == (height, width)
    assert trial.steps[0].site.tokens - trial.steps[0].keep == height * width * 3 // 4
    for found, want in zip(trial.outputs, trial.subject.dense_outputs, strict=True):
        assert found.shape == want.shape
        assert bool(found.isfinite().all())
        assert difference(found, want) > 1e-4, "the prediction knows nothing of the clustering"


@pytest.mark.parametrize("name", ["dpt", pytest.param("depth-anything", marks=pytest.mark.exhaustive)])
def test_patches_that_are_equal_are_predicted_as_by_dense(name):
    """Four colours of 2 x 2 patches each, and no positions: a cluster is four equal patches, and weighs as much."""
    made = FACTORIES[name]()
    with torch.no_grad():
        for key, parameter in made.module.named_parameters():
            if "position_embeddings" in key:
                parameter.zero_()
    (pixels,) = made.inputs.values()
    colours = pixels[:, :, :2, :2].repeat_interleave(pixels.shape[2] // 2, 2).repeat_interleave(pixels.shape[3] // 2, 3)
    inputs = dict.fromkeys(made.inputs, colours)
    trial = Trial(Expedit(layer=0, side=0.5, temperature=1e3, prop_attn=True), Subject(lambda: made))
    for found, want in zip(run(trial.optimised, inputs), run(trial.subject.dense, inputs), strict=True):
        assert difference(found, want) < 1e-4
    (found,), (want,) = run(trial.optimised), run(trial.subject.dense)
    assert difference(found, want) > 1e-2, "noise is no such picture"
