"""Every reduction of the family, through every exporter: the file computes what torch does."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from edgetok.graph import Step, capture, find_sites, rewrite
from edgetok.registry import installed
from edgetok.requirements import missing
from edgetok.testing import zoo
from edgetok.testing.delivery import precise_options
from edgetok.testing.trial import Trial, difference, run, subject
from edgetok_plugins.diffrate import DiffRate
from edgetok_plugins.expedit import Expedit
from edgetok_plugins.kth import Kth
from edgetok_plugins.local_merge import LocalMerge
from edgetok_plugins.pitome import PiToMe
from edgetok_plugins.temporal import Temporal
from edgetok_plugins.tofu import ToFu
from edgetok_plugins.token_transform import TokenTransform
from edgetok_plugins.toma import ToMA

SOFT = (Expedit(layer=0, side=0.85), LocalMerge(r=4, tile=18))
RANKED = (PiToMe(r=4), DiffRate(prune=3, merge=3))
FUSED = (ToFu(r=3, switch=0.0), TokenTransform(r=3), Kth(layers=(2, 6), tile=8))
FAMILY = (*SOFT, *RANKED, *FUSED)
CODES = (DiffRate(prune=2, merge=3, sizes="code"), ToFu(r=3, switch=0.0, length="code"))
OPTIONS = {**zoo.SIZES, "hidden_size": 16, "image_size": 56, "patch_size": 8}
CLOSE = 1e-4
"""Largest relative difference between a program and its file."""
exhaustive = pytest.mark.exhaustive


@cache
def reduced(family):
    """A ViT with one layer per reduction, whose output has all its tokens again."""
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    options = {**OPTIONS, "num_hidden_layers": len(family)}
    dense = capture(zoo.hugging_face("ViTModel", "ViTConfig", options, lambda: {"pixel_values": pixels}, "encoder"))
    steps, tokens = [], 50
    for site, plugin in zip(find_sites(dense), family, strict=True):
        keep = plugin.keep(site, tokens)
        assert keep < tokens, f"{plugin.name} does nothing"
        steps.append(Step(site, plugin, keep))
        tokens = keep
    return rewrite(dense, steps)


def exported_alike(program, name: str, folder: Path) -> None:
    """Export, load and compare; skips where the toolchain is absent."""
    target = installed().target(name)
    if lacking := missing(target.requires):
        pytest.skip(f"{name} needs {', '.join(lacking)}")
    made = installed().exporter(target.exporter)
    options = precise_options(made, target)
    batch = slice(0, 1 if getattr(options, "batch", "dynamic") != "dynamic" else 2)
    inputs = {key: value[batch] for key, value in program.example.items()}
    exported = made.export(program, target, folder, options=options)
    found = made.load(exported.entry, threads=1)({key: np.asarray(value) for key, value in inputs.items()})
    for spec, want in zip(program.outputs, run(program, inputs), strict=True):
        assert difference(torch.as_tensor(found[spec.name]), want) < CLOSE


def test_decisions_are_operators_that_parity_replays():
    nodes = list(reduced(FAMILY).graph.nodes)
    targets = [str(node.target).split(".")[1] for node in nodes if "edgetok." in str(node.target)]
    wanted = {"bipartite_match": 2, "rank_top": 3, "match_among": 4, "select_top": 1}
    assert {name: targets.count(name) for name in wanted} == wanted
    assert not [node for node in nodes if "sort" in str(node.target) or "topk" in str(node.target)]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        pytest.param("onnx-cpu", FAMILY, id="onnx"),
        pytest.param("onnx-cpu", CODES, id="onnx-codes"),
        pytest.param("coreml", SOFT, id="coreml-soft"),
        pytest.param("coreml", FAMILY, marks=exhaustive, id="coreml"),
        pytest.param("coreml", CODES, marks=exhaustive, id="coreml-codes"),
        pytest.param("executorch-xnnpack", SOFT[1:], id="xnnpack-local-merge"),
        pytest.param("executorch-xnnpack", SOFT[:1], marks=exhaustive, id="xnnpack-expedit"),
        pytest.param("executorch-xnnpack", RANKED, marks=exhaustive, id="xnnpack-ranked"),
        pytest.param("executorch-xnnpack", FUSED, marks=exhaustive, id="xnnpack-fused"),
        pytest.param("executorch-xnnpack", CODES, marks=exhaustive, id="xnnpack-codes"),
    ],
)
def test_files_compute_the_same(tmp_path: Path, name: str, family):
    """Lowering is slow: what is quick here has one kind of map per toolchain, the exhaustive ones have all."""
    exported_alike(reduced(family), name, tmp_path)


@exhaustive
@pytest.mark.parametrize("name", ["onnx-cpu", "coreml", "executorch-xnnpack"])
@pytest.mark.parametrize("how", ["merge", "drop", "density"])
def test_videos_compute_the_same(tmp_path: Path, name: str, how: str):
    trial = Trial(Temporal(how=how, layers=(1,), segment=2), subject(zoo.videomae))
    assert trial.plan.tokens[-1] < trial.plan.tokens[0]
    exported_alike(trial.optimised, name, tmp_path)


@exhaustive
@pytest.mark.parametrize("name", ["onnx-cpu", "coreml-gpu", "executorch-xnnpack"])
def test_images_of_diffusion_compute_the_same(tmp_path: Path, name: str):
    """Merging as tomesd does it, on the first attention of a U-Net."""
    trial = Trial(ToMA(method="tomesd", tile=4, min_tokens=17), subject(zoo.unet))
    assert trial.steps
    exported_alike(rewrite(trial.subject.program, trial.steps[:1]), name, tmp_path)
