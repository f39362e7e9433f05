"""Every reduction of the family in one model, through every exporter: the file computes what torch does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgetok.graph import Step, capture, find_sites, rewrite
from edgetok.registry import installed
from edgetok.testing import zoo
from edgetok.testing.delivery import precise_options
from edgetok.testing.trial import difference, run
from edgetok_plugins.diffrate import DiffRate
from edgetok_plugins.expedit import Expedit
from edgetok_plugins.kth import Kth
from edgetok_plugins.local_merge import LocalMerge
from edgetok_plugins.pitome import PiToMe
from edgetok_plugins.tofu import ToFu
from edgetok_plugins.token_transform import TokenTransform

FAMILY = [
    Expedit(layer=0, side=0.85),
    LocalMerge(r=4, tile=18),
    PiToMe(r=4),
    DiffRate(prune=3, merge=3),
    ToFu(r=3, switch=0.0),
    TokenTransform(r=3),
    Kth(layers=(6,), tile=8),
]
OPTIONS = {**zoo.SIZES, "hidden_size": 16, "image_size": 56, "patch_size": 8}


def reduced(family):
    """A ViT with one layer per reduction, whose output has all its tokens again."""
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    options = {**OPTIONS, "num_hidden_layers": len(family)}
    dense = capture(zoo.hugging_face("ViTModel", "ViTConfig", options, lambda: {"pixel_values": pixels}, "encoder"))
    steps, tokens = [], 50
    for site, plugin in zip(find_sites(dense), family, strict=True):
        tokens = plugin.keep(site, site.tokens if isinstance(plugin, Expedit) else tokens)
        steps.append(Step(site, plugin, tokens))
    assert [step.keep for step in steps] == [37, 33, 29, 23, 20, 17, 9][: len(family)]
    return rewrite(dense, steps)


@pytest.fixture(scope="module")
def program():
    return reduced(FAMILY)


def test_decisions_are_operators_that_parity_replays(program):
    targets = [str(node.target).split(".")[1] for node in program.graph.nodes if "edgetok." in str(node.target)]
    wanted = {"bipartite_match": 2, "rank_top": 3, "match_among": 4, "select_top": 1}
    assert {name: targets.count(name) for name in wanted} == wanted
    assert not [node for node in program.graph.nodes if "sort" in str(node.target) or "topk" in str(node.target)]


@pytest.mark.parametrize("name", ["onnx-cpu", "coreml", "executorch-xnnpack"])
def test_files_compute_the_same(program, tmp_path: Path, name: str):
    target = installed().target(name)
    for package in target.requires:
        pytest.importorskip(package, reason=f"{name} needs {package}")
    made = installed().exporter(target.exporter)
    options = precise_options(made, target)
    if made.name == "executorch":
        program = reduced(FAMILY[:3])  # each kind of map once: lowering takes long
    batch = slice(0, 1 if getattr(options, "batch", "dynamic") != "dynamic" else 2)
    inputs = {"pixel_values": program.example["pixel_values"][batch]}
    exported = made.export(program, target, tmp_path, options=options)
    found = made.load(exported.entry, threads=1)({"pixel_values": np.asarray(inputs["pixel_values"])})
    for spec, want in zip(program.outputs, run(program, inputs), strict=True):
        assert difference(torch.as_tensor(found[spec.name]), want) < 1e-4
