"""Named weights become second inputs of MatMul and Conv, and values stay what they were."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from edgetok.errors import ExportFailed
from edgetok_exporters.onnx import OnnxExporter, Options, weights
from edgetok_exporters.onnx.export import to_model


class Layers(nn.Module):
    """A linear layer on three axes (MatMul), one on two (Gemm), and a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 6, 2)
        self.wide = nn.Linear(6, 4)
        self.flat = nn.Linear(4, 5)
        self.bare = nn.Linear(5, 5, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.bare(self.flat(self.wide(self.conv(x).transpose(1, 2)).mean(1))),)


@pytest.fixture
def program(capture):
    torch.manual_seed(0)
    return capture(Layers(), {"x": torch.randn(2, 3, 9)})


@pytest.fixture
def model(program, here):
    return to_model(program, here(), Options())[0]


NAMES = ("conv.weight", "wide.weight", "flat.weight", "bare.weight")


def test_every_named_weight_has_its_readers(model):
    readers = weights.fold(model, NAMES)
    assert {name: [node.op_type for node in nodes] for name, nodes in readers.items()} == {
        "conv.weight": ["Conv"],
        "wide.weight": ["MatMul"],
        "flat.weight": ["MatMul"],
        "bare.weight": ["MatMul"],
    }
    assert all(nodes[0].inputs[1].is_initializer() for nodes in readers.values())
    assert "Gemm" not in {node.op_type for node in model.graph}
    assert not {"wide.weight", "flat.weight"} & set(model.graph.initializers)


def test_values_stay(model, program, tmp_path):
    weights.fold(model, NAMES)
    ir.save(model, tmp_path / "folded.onnx")
    x = torch.randn(3, 3, 9)
    found = OnnxExporter().load(tmp_path / "folded.onnx", threads=1)({"x": x.numpy()})["out0"]
    with torch.no_grad():
        np.testing.assert_allclose(found, program.exported.module()(x=x)[0].numpy(), rtol=0, atol=1e-6)


def test_others_are_left_alone(model):
    before = [node.op_type for node in model.graph]
    assert weights.fold(model, ()) == {}
    assert [node.op_type for node in model.graph] == before


def test_what_is_not_there_is_an_error(model):
    with pytest.raises(ExportFailed, match=r"absent\.weight"):
        weights.fold(model, ["absent.weight"])


def test_a_bias_is_no_weight(model):
    with pytest.raises(ExportFailed, match=r"wide\.bias") as caught:
        weights.fold(model, ["wide.bias"])
    assert "skip" in caught.value.hint
