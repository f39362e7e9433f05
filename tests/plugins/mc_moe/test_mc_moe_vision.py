"""Token merging and expert compression in one model: a ViT whose MLPs are mixtures of experts."""

from __future__ import annotations

import pytest
import torch

import edgetok
from edgetok.errors import UnsupportedModel
from edgetok.model import Model
from edgetok.progress import Silent
from edgetok.testing import zoo
from edgetok.testing.experts import VisionExperts, vision_experts
from edgetok_exporters.onnx import OnnxExporter
from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.experts.find import find_blocks
from edgetok_plugins.mc_moe.lowering.modules import PackedStacks

MODEL = "edgetok.testing.experts:vision_experts"
PLUGINS = {"tome": {"r": 4}, "mc-moe": {"bits": 2.0, "widths": (1, 2, 3), "group_size": 16, "samples": 4}}


def test_a_dry_run_prints_the_plan_of_both():
    plan = str(edgetok.optimize(MODEL, plugins=PLUGINS, dry_run=True).plan)
    for layer in range(3):
        assert f"blocks.{layer}.mlp.experts  mc-moe  4 experts, of 1/2/3 bits each" in plan
    assert plan.count("-> ") == 3
    assert "26 22 18" in plan


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "out"
    return edgetok.optimize(MODEL, plugins=PLUGINS, output=output, bench={"enabled": False}), output


def test_both_are_in_one_bundle_and_it_is_proven(bundle):
    report = bundle[0].report
    assert report.parity.passed
    assert {plugin.name: plugin.sites for plugin in report.plugins} == {"tome": 3, "mc-moe": 3}
    assert report.size_bytes.ratio > 1
    assert report.tokens.per_layer != report.tokens.dense_per_layer
    kinds = {site.module.rpartition(".")[2] for site in report.parity.decisions.sites}
    assert "gate" in kinds, "a router's choices are replayed after merging too"
    runner = OnnxExporter().load(bundle[1] / report.delivered.entry, threads=1)
    found = runner({name: value.numpy() for name, value in vision_experts().inputs.items()})["logits"]
    assert found.shape == (2, 7)


ROUNDED = {"packed_activations": "int8"}


def one_layer():
    return zoo.component("small-experts", VisionExperts(32, 2, 1, 4), zoo.pictures(), role="classifier")


def test_a_packed_source_with_rounded_inputs_is_held_against_one_that_rounds_alike(tmp_path):
    """By the bound of int8 alone, 5 dB, a file could be all but noise."""
    component = one_layer()
    (tmp_path / "weights").mkdir()
    plugin, given = McMoe(bits=2.0, group_size=16), dict(component.inputs)
    done = plugin.rewrite(Model("v", "", {"v": component}), component, given, tmp_path / "weights", Silent())
    packed = Model("v", "", {"v": done.component})
    settings = {"output": tmp_path / "out", "exporter": ROUNDED, "bench": {"enabled": False}}
    parity = edgetok.optimize(packed, plugins={"tome": {"r": 4}}, **settings).report.parity
    assert parity.passed
    assert parity.dtype == "int8"
    for output in parity.outputs:
        assert output.dense.snr_db < 60, "its inputs are rounded too"
        assert output.bound.min_snr_db >= min(35, output.dense.snr_db - 4) > 5
    assert "No dense file rounds" not in parity.how
    assert "as noisy as the dense file's of the same precision" in parity.how


def test_without_such_a_file_the_report_says_how_little_the_bound_says(tmp_path):
    settings = {"output": tmp_path / "out", "exporter": ROUNDED, "bench": {"enabled": False}}
    model, plugins = Model("v", "", {"v": one_layer()}), {"mc-moe": PLUGINS["mc-moe"]}
    parity = edgetok.optimize(model, plugins=plugins, parity={"allow_failure": True}, **settings).report.parity
    assert all(output.dense is None for output in parity.outputs)
    assert "No dense file rounds its inputs as this one does" in parity.how


def test_what_is_in_memory_is_left_alone_and_packed_all_the_same(tmp_path):
    component = vision_experts()
    before = {name: value.clone() for name, value in component.module.state_dict().items()}
    plugin = McMoe(bits=2.0, group_size=16)
    done = plugin.rewrite(Model("v", "", {"v": component}), component, dict(component.inputs), tmp_path, Silent())
    packed = [module for module in done.component.module.modules() if isinstance(module, PackedStacks)]
    assert len(packed) == len(find_blocks(component.module)) == 3
    after = component.module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(module._forward_hooks for module in component.module.modules())


def test_important_tokens_are_known_only_where_attention_tells(tmp_path):
    component = vision_experts()
    model = Model("v", "", {"v": component})
    with pytest.raises(UnsupportedModel, match="odp_protect=0"):
        McMoe(odp=True, group_size=16).rewrite(model, component, dict(component.inputs), tmp_path, Silent())
    (tmp_path / "again").mkdir()
    plugin = McMoe(odp=True, odp_protect=0, group_size=16)
    done = plugin.rewrite(model, component, dict(component.inputs), tmp_path / "again", Silent())
    assert all("calls left out" in place.what for place in done.places)


def test_a_model_without_experts_is_refused(tmp_path):
    component = zoo.vit()
    with pytest.raises(UnsupportedModel, match="no mixture of experts"):
        McMoe().rewrite(Model("vit", "", {"model": component}), component, {}, tmp_path, Silent())
