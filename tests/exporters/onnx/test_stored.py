"""Weights in fewer bits: rounded to nearest, channel by channel, widened where they are read."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgetok_exporters.onnx.stored import store_fp16, store_int8


@pytest.fixture
def make():
    """A graph with one weight that two products read."""

    def graph_of(array):
        tensor = ir.tensor(array, name="w")
        weight = ir.Value(name="w", shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        x = ir.Value(name="x", shape=ir.Shape([2, array.shape[0]]), type=ir.TensorType(tensor.dtype))
        nodes = [ir.node("MatMul", [x, weight], name=name) for name in "ab"]
        graph = ir.Graph([x], [node.outputs[0] for node in nodes], nodes=nodes, opset_imports={"": 20}, name="g")
        graph.register_initializer(weight)
        return graph, weight

    return graph_of


def stored(graph, name):
    return graph.initializers[name].const_value.numpy()


@pytest.mark.parametrize("axis", [0, 1])
def test_int8_is_within_half_a_step_of_every_channel(make, axis):
    array = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32) * np.logspace(
        -4, 3, 5, dtype=np.float32
    )
    array[2], array[:, 3] = 0, 0
    graph, weight = make(array)
    store_int8(graph, weight, axis)
    scale, integers = stored(graph, "w.scale"), stored(graph, "w.int8")
    spread = scale[:, None] if axis == 0 else scale[None, :]
    assert integers.dtype == np.int8
    assert integers.min() >= -127
    assert (np.abs(integers * spread - array) <= spread / 2 * (1 + 1e-5)).all()
    largest = np.abs(integers).max(axis=1 - axis)
    assert set(largest.tolist()) == {0, 127}


def test_all_readers_read_the_widened_weight(make):
    graph, weight = make(np.eye(4, dtype=np.float32))
    store_int8(graph, weight, 1)
    assert [node.op_type for node in graph] == ["DequantizeLinear", "MatMul", "MatMul"]
    assert "w" not in graph.initializers
    assert {node.inputs[1] for node in graph if node.op_type == "MatMul"} == {graph[0].outputs[0]}


def test_fp16_stays_finite(make):
    graph, weight = make(np.asarray([[1e6, -1e6], [0.1, 1e-9]], np.float32))
    store_fp16(graph, weight)
    np.testing.assert_array_equal(stored(graph, "w.fp16"), np.asarray([[65504, -65504], [0.1, 0]], np.float16))
    assert graph[0].op_type == "Cast"


def test_what_is_fp16_already_stays(make):
    graph, weight = make(np.eye(2, dtype=np.float16))
    store_fp16(graph, weight)
    assert [node.op_type for node in graph] == ["MatMul", "MatMul"]
