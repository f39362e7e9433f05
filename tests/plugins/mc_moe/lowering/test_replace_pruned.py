"""Pruned experts: the form that captures against the runtime that skips them, and a file of it."""

from __future__ import annotations

import pytest
import torch

from edgetok.graph.capture import capture
from edgetok.model import Component
from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compress import compress, packed_tensors
from edgetok_plugins.mc_moe.lowering.replace import packed_component, packed_module
from edgetok_plugins.mc_moe.runtime import PackedExperts, load_packed

IDS = torch.arange(60).reshape(3, 20) * 7 % 64
OPTIONS = McMoe(bits=2.0, group_size=8, method="rtn", odp=True, odp_protect=0.1)
SAME = 2e-5


def pruned(build, saved, directory, family, options=OPTIONS, **changes):
    model = build(family, "ForCausalLM", use_cache=False, **changes)
    manifest = compress(saved(model), directory / "out", {"input_ids": IDS}, options)
    return model, manifest, directory / "out"


@pytest.mark.parametrize("family", ["Mixtral", "DeepseekV3", "GptOss", "GraniteMoe"])
def test_what_is_masked_is_what_is_skipped(build, saved, tmp_path, family):
    """Both forms give the same logits; others than without pruning; and the calls that were promised are saved."""
    model, manifest, output = pruned(build, saved, tmp_path, family)
    skipping, masking = load_packed(output), packed_module(model, packed_tensors(output))
    experts = {name: m for name, m in skipping.named_modules() if isinstance(m, PackedExperts)}
    with torch.no_grad():
        found, expected = (each(input_ids=IDS).logits for each in (masking, skipping))
    torch.testing.assert_close(found, expected, atol=SAME, rtol=SAME)
    for name, module in experts.items():
        figures = manifest["odp"][name]
        assert figures["protected"] == pytest.approx(0.1)
        assert 0.1 < figures["saved"] < 0.25
        assert module.calls == IDS.numel() * 2
        assert module.saved / module.calls == pytest.approx(figures["saved"], abs=1.5 / module.calls)
        module.pruning = None
    with torch.no_grad():
        assert (skipping(input_ids=IDS).logits - expected).abs().max() > 100 * SAME
        assert torch.equal(model(input_ids=IDS).logits, build(family, "ForCausalLM")(input_ids=IDS).logits)


def test_what_is_left_out_is_never_unpacked(build, saved, tmp_path, monkeypatch):
    _, _, output = pruned(build, saved, tmp_path, "Olmoe", OPTIONS.model_copy(update={"odp_protect": 0.0}))
    experts = load_packed(output).get_submodule("model.layers.0.mlp.experts")
    asked = []
    real = PackedExperts.matrix
    monkeypatch.setattr(PackedExperts, "matrix", lambda self, e, n: asked.append(e) or real(self, e, n))
    threshold = experts.pruning.threshold
    weights = torch.tensor([[1.0, threshold * 0.9], [threshold * 0.9, 1.0]])
    experts(torch.ones(2, 16), torch.tensor([[3, 1], [2, 3]]), weights)
    assert set(asked) == {3}
    assert (experts.calls, experts.saved) == (4, 2)


@pytest.fixture(scope="module")
def one_layer(build, saved, tmp_path_factory):
    """A program with pruned experts, and the directory that it comes from."""
    model, _, output = pruned(build, saved, tmp_path_factory.mktemp("pruned"), "Mixtral", num_hidden_layers=1)
    component = Component("model", model, {"input_ids": IDS[:2]}, {"input_ids": {0: "batch"}})
    return capture(packed_component(component, packed_tensors(output))), output


def test_a_file_of_it_runs_and_agrees_with_the_runtime(one_layer, tmp_path):
    pytest.importorskip("onnxruntime")
    from edgetok.registry import installed
    from edgetok_exporters.onnx import OnnxExporter

    program, output = one_layer
    decided = [node for node in program.graph.nodes if node.target is torch.ops.aten.topk.default]
    assert len(decided) == 3  # experts, tokens to protect, calls to leave out
    exported = OnnxExporter().export(program, installed().target("onnx-cpu"), tmp_path)
    found = OnnxExporter().load(exported.entry, threads=1)({"input_ids": IDS.numpy()})["logits"]
    with torch.no_grad():
        expected = load_packed(output)(input_ids=IDS).logits
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


def test_core_ml_runs_it(one_layer, tmp_path):
    """It has no bitwise operators: which calls are kept is decided with logical ones."""
    pytest.importorskip("coremltools")
    from edgetok.registry import installed
    from edgetok_exporters.coreml import CoreMLExporter, Options

    program, output = one_layer
    exported = CoreMLExporter().export(program, installed().target("coreml"), tmp_path, options=Options(dtype="fp32"))
    found = CoreMLExporter().load(exported.entry)({"input_ids": IDS[:1].numpy()})["logits"]
    with torch.no_grad():
        expected = load_packed(output)(input_ids=IDS[:1]).logits
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)
