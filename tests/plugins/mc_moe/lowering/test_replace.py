"""Packed weights in a model: the same logits as with what they stand for, captured as they are, files run."""

from __future__ import annotations

import copy

import pytest
import torch

from edgetok.errors import BrokenWeights
from edgetok.graph.capture import capture
from edgetok.model import Component
from edgetok_plugins.mc_moe.experts.find import find_blocks
from edgetok_plugins.mc_moe.grid import round_to_nearest
from edgetok_plugins.mc_moe.lowering.replace import packed_component, packed_module
from edgetok_plugins.mc_moe.packing import dequantise, stack

BITS = (2, 1, 3, 2)
GROUP = 8


def compressed(model):
    """What compression writes for a model, and the model with the same weights in floating point."""
    tensors, rounded = {}, copy.deepcopy(model)
    blocks = {block.name: block for block in find_blocks(rounded)}
    for path, block in blocks.items():
        tensors[f"{path}.bits"] = torch.tensor(BITS, dtype=torch.uint8)
        for name in ("up", "down"):
            packed = [
                round_to_nearest(block.form.matrix(expert, name).contiguous(), bits=bits, group=GROUP)
                for expert, bits in enumerate(BITS)
            ]
            for expert, weight in enumerate(packed):
                block.form.matrix(expert, name).copy_(dequantise(weight))
            for width in set(BITS):
                of_width = [weight for weight in packed if weight.bits == width]
                tensors |= stack(of_width).tensors(f"{path}.{name}.w{width}")
    for path, module in rounded.named_modules():
        if path.endswith(("q_proj", "o_proj")):
            packed = round_to_nearest(module.weight.data, bits=4, group=GROUP)
            tensors |= packed.tensors(f"{path}.weight")
            module.weight.data = dequantise(packed)
    return tensors, rounded


@pytest.fixture
def ids():
    return torch.randint(0, 64, (2, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", ["Mixtral", "GptOss", "Qwen2Moe"])
def test_it_computes_what_its_weights_stand_for(build, family, ids):
    model = build(family, "ForCausalLM", num_hidden_layers=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tensors, rounded = compressed(model)
    packed = packed_module(model, tensors)
    with torch.no_grad():
        torch.testing.assert_close(packed(input_ids=ids).logits, rounded(input_ids=ids).logits, rtol=1e-4, atol=1e-4)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.fixture(scope="module")
def program(build):
    model = build("Mixtral", "ForCausalLM", num_hidden_layers=1, use_cache=False)
    ids = torch.randint(0, 64, (2, 9), generator=torch.Generator().manual_seed(1))
    component = Component("model", model, {"input_ids": ids}, {"input_ids": {0: "batch"}})
    tensors, rounded = compressed(model)
    return capture(packed_component(component, tensors)), rounded


def test_the_program_holds_bytes(program):
    captured, rounded = program
    products = [node for node in captured.graph.nodes if "packed_matmul" in str(node.target)]
    assert len(products) == 2 * 3 + 2  # two matrices of three widths, and two layers of attention
    state = captured.exported.state_dict
    assert not [name for name in state if "experts" in name and state[name].is_floating_point() and "scale" not in name]
    with torch.no_grad():
        expected = rounded(**captured.example).logits
        found = captured.exported.module()(**captured.example)
    torch.testing.assert_close(found["logits"], expected, rtol=1e-4, atol=1e-4)


def test_a_file_of_it_runs(program, tmp_path):
    pytest.importorskip("onnxruntime")
    from edgetok.registry import installed
    from edgetok_exporters.onnx import OnnxExporter

    captured, rounded = program
    exported = OnnxExporter().export(captured, installed().target("onnx-cpu"), tmp_path)
    found = OnnxExporter().load(exported.entry, threads=1)({"input_ids": captured.example["input_ids"].numpy()})
    with torch.no_grad():
        expected = rounded(**captured.example).logits
    torch.testing.assert_close(torch.from_numpy(found["logits"]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors, path: tensors.update({f"{path}.bits": torch.tensor([2, 1, 3], dtype=torch.uint8)}),
        lambda tensors, path: tensors.update({f"{path}.bits": torch.tensor([2, 2, 3, 2], dtype=torch.uint8)}),
        lambda tensors, path: tensors.pop(f"{path}.up.w2.scale"),
        lambda tensors, path: tensors.pop(f"{path}.bits"),
        lambda tensors, path: tensors.update({"no.such.bits": tensors[f"{path}.bits"]}),
        lambda tensors, path: tensors.update(
            {k.replace("q_proj", "no_proj"): v for k, v in tensors.items() if "q_proj" in k}
        ),
    ],
    ids=["too few", "other widths", "incomplete", "no widths", "no experts", "no layer"],
)
def test_what_does_not_fit_is_refused(build, spoil):
    model = build("Mixtral", "ForCausalLM", num_hidden_layers=1)
    tensors, _ = compressed(model)
    spoil(tensors, find_blocks(model)[0].name)
    with pytest.raises(BrokenWeights):
        packed_module(model, tensors)
