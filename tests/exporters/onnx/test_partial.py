"""What a compiler refuses is found and left to the CPU; compilers that refuse known things stand in for Qualcomm's."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetok_exporters.onnx.partial import leave_to_cpu, summary

CHAIN = ("Relu", "Sub", "MatMul", "Abs", "Neg", "Relu", "Exp")


@pytest.fixture
def entry(tmp_path):
    """A chain of operations with a constant in it."""
    nodes = []
    for i, op_type in enumerate(CHAIN):
        more = ["w"] if op_type in ("Sub", "MatMul") else []
        nodes.append(helper.make_node(op_type, [f"v{i}", *more], [f"v{i + 1}"], name=f"n{i}"))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3, 3]) for n in ("v0", f"v{len(CHAIN)}")]
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32) / 2, "w")
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def refusing(*patterns):
    """A compiler that refuses graphs in which such operations follow one another outside loops."""
    tried = []

    def compiles(path):
        model = onnx.load(path)
        onnx.checker.check_model(model)
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        ops = tuple(node.op_type for node in model.graph.node)
        tried.append(ops)
        hit = any(ops[i : i + len(p)] == p for p in patterns for i in range(len(ops)))
        return "no room" if hit else None

    compiles.tried = tried
    return compiles


def left(entry):
    """Operations in loops of one turn."""
    loops = [node for node in onnx.load(entry).graph.node if node.op_type == "Loop"]
    return [node.attribute[0].g.node[0].op_type for node in loops]


def test_a_kind_that_is_refused_by_itself_is_left_to_the_cpu_wherever_it_is(entry):
    (refusal,) = leave_to_cpu(entry, refusing(("Abs",)))
    assert left(entry) == ["Abs"]
    assert (refusal.kind, refusal.smallest, refusal.said) == ("1 x Abs in floating point", ("Abs",), "no room")


def test_the_smallest_graph_that_is_refused_is_found(entry):
    compiles = refusing(("MatMul", "Abs", "Neg"))
    (refusal,) = leave_to_cpu(entry, compiles)
    assert refusal.smallest == ("MatMul", "Abs", "Neg")
    assert left(entry) == ["Neg"]
    facts = summary([refusal])
    assert facts["smallest graph that is refused"] == "MatMul, Abs, Neg"
    assert facts["what the compiler says"] == "no room"
    assert len(compiles.tried) < 3 * len(CHAIN)


def test_both_ways_together(entry):
    found = leave_to_cpu(entry, refusing(("Exp",), ("Relu", "Sub")))
    assert [refusal.smallest for refusal in found] == [("Exp",), ("Relu", "Sub")]
    assert left(entry) == ["Sub", "Exp"]


def test_a_file_that_is_refused_whatever_is_left_out_stays_as_it_was(entry):
    before, tried = entry.read_bytes(), []
    found = leave_to_cpu(entry, lambda path: tried.append(path) or "always")
    assert entry.read_bytes() == before
    assert sum(refusal.nodes for refusal in found) > len(CHAIN) / 2
    assert len(tried) < len(CHAIN), "the search ends once most is refused"


def test_the_file_computes_the_same(entry):
    x = {"v0": np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)}
    (before,) = ort.InferenceSession(str(entry)).run(None, x)
    leave_to_cpu(entry, refusing(("Abs",)))
    (after,) = ort.InferenceSession(str(entry)).run(None, x)
    np.testing.assert_array_equal(before, after)
