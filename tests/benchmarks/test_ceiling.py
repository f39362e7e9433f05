"""The ceiling keeps the merged program's schedule and none of its work."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from edgetok.graph import capture, find_sites, rewrite
from edgetok.model import Component
from edgetok.plan import make_plan, steps_of
from edgetok.target import Target
from edgetok_plugins.tome import ToMe

transformers = pytest.importorskip("transformers")


@pytest.fixture
def free_drop(repository):
    spec = importlib.util.spec_from_file_location("ceiling", repository / "benchmarks" / "_ceiling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.free_drop


def test_it_slices_where_the_program_merges(free_drop):
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=4
    )
    pixels = {"pixel_values": torch.randn(2, 3, 16, 16)}
    model = transformers.ViTForImageClassification(config).eval()
    program = capture(Component("model", model, pixels, {"pixel_values": {0: "batch"}}, "classifier"))
    sites, plugins = find_sites(program), [ToMe(r=2)]
    target = Target(name="t", summary="", exporter="onnx", runtime="onnxruntime")
    merged = rewrite(program, steps_of(make_plan(program, sites, plugins, target), sites, plugins))
    dropped = free_drop(merged)
    assert attended(dropped) == attended(merged) == [17, 15, 13]
    assert not [n for n in dropped.exported.graph.nodes if "edgetok" in str(n.target)]
    assert [n for n in merged.exported.graph.nodes if "edgetok" in str(n.target)]
    assert all(len(n.args) == 3 for n in attentions(dropped))
    (logits,) = dropped.exported.module()(**pixels)
    assert logits.shape == (2, 2)


def attentions(program):
    return [n for n in program.exported.graph.nodes if "scaled_dot_product_attention" in str(n.target)]


def attended(program) -> list[int]:
    return [int(n.meta["val"].shape[2]) for n in attentions(program)]
