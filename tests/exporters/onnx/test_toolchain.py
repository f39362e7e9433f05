"""onnxruntime's quantisers, called on files of our own making."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from edgetok.errors import ExportFailed
from edgetok_exporters.onnx import toolchain


@pytest.fixture
def model():
    """A product of ``[batch, 8]`` with a weight ``[8, 4]``, and a stale note that the weight is ``[4, 8]``."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [8, 4], np.linspace(-1, 1, 32))
    product = helper.make_node("MatMul", ["x", "w"], ["inner"], name="product")
    last = helper.make_node("Relu", ["inner"], ["y"], name="last")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n]) for name, n in (("x", 8), ("y", 4)))
    graph = helper.make_graph([product, last], "small", [x], [y], [weight])
    made = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    made.graph.initializers["w"].shape = ir.Shape([4, 8])
    return made


def batches():
    return [{"x": np.random.default_rng(i).standard_normal((2, 8)).astype(np.float32)} for i in range(2)]


CALLS = {
    "dynamic": lambda model: toolchain.quantize_dynamically(model, ["product"]),
    "static": lambda model: toolchain.quantize_statically(model, ["product"], batches()),
    "blocks": lambda model: toolchain.quantize_blocks(model, ["product"], 16, int8_compute=False),
    "htp": lambda model: toolchain.quantize_for_htp(model, [], batches()),
}


@pytest.mark.parametrize("call", CALLS)
def test_stale_shapes_do_not_matter(model, call):
    """``Inferred shape and existing shape differ``, unless they are dropped first."""
    made = CALLS[call](model)
    assert {"MatMulInteger", "MatMulNBits", "QuantizeLinear"} & {node.op_type for node in made.graph}


@pytest.mark.parametrize("call", CALLS)
def test_nothing_of_the_toolchain_stays(model, call, monkeypatch, tmp_path):
    """No marks in the file, no files in the temporary directory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = CALLS[call](model)
    assert (made.producer_name, made.producer_version) == (model.producer_name, model.producer_version)
    assert made.graph.name == "small"
    assert not made.metadata_props
    assert not list(Path(tmp_path).iterdir())
    ir.save(made, tmp_path / "made.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "made.onnx"), full_check=False)


def test_its_errors_are_export_errors(model):
    with pytest.raises(ExportFailed, match="small") as caught:
        toolchain.quantize_statically(model, ["product"], [{"wrong": np.zeros((1, 8), np.float32)}])
    assert caught.value.why
    assert "skip" in caught.value.hint
