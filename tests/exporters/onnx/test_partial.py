"""What a compiler refuses is found and left to the CPU; compilers that refuse known things stand in for Qualcomm's."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetok_exporters.onnx.partial import FORMATS, ROUNDS, leave_to_cpu, summary

CHAIN = ("Relu", "Sub", "MatMul", "Abs", "Neg", "Relu", "Exp")


@pytest.fixture
def entry(tmp_path):
    """A chain of operations with a constant in it."""
    return saved(tmp_path / "m.onnx", CHAIN)


def saved(path, ops):
    """A chain of operations in a file."""
    more = {"Sub": ["w"], "MatMul": ["w"], **{op_type: ["scale", "zero"] for op_type in FORMATS}}
    values = [f"v{i}" for i in range(len(ops) + 1)]
    nodes = [helper.make_node(op, [values[i], *more.get(op, [])], [values[i + 1]]) for i, op in enumerate(ops)]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3, 3]) for n in (values[0], values[-1])]
    constants = {"w": np.eye(3, dtype=np.float32) / 2, "scale": np.float32(0.1), "zero": np.uint8(128)}
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


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
    assert (refusal.kind, refusal.nodes) == ("Abs in floating point", 1)
    assert (refusal.smallest, refusal.said) == (("Abs",), "no room")


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


def test_what_every_layer_repeats_is_left_to_the_cpu_at_once(tmp_path):
    entry = saved(tmp_path / "m.onnx", ["Relu", "Neg", "Abs", "Neg", "Sigmoid", "Tanh"] * 12)
    (refusal,) = leave_to_cpu(entry, refusing(("Relu", "Neg")))
    assert (refusal.kind, refusal.nodes, refusal.smallest) == ("Neg", 12, ("Relu", "Neg"))
    assert left(entry) == ["Neg"] * 12, "those behind Abs stay"


def test_what_stands_between_the_same_operations_is_alike_across_formats(tmp_path):
    layer = [op for name in ("Relu", "Neg", "Abs", "Neg", "Exp", "Exp") for op in (name, *FORMATS)]
    entry = saved(tmp_path / "m.onnx", layer * 3)
    (refusal,) = leave_to_cpu(entry, refusing(("Relu", *FORMATS, "Neg")))
    assert (refusal.kind, refusal.nodes) == ("Neg", 3)
    assert left(entry) == ["Neg"] * 3


def many(path, kinds):
    """A chain, and a compiler that refuses as many kinds in it, none of them alone."""
    first = ("Relu", "Abs", "Exp", "Sigmoid", "Tanh", "Softplus", "Sin", "Cos", "Atan", "Floor")[:kinds]
    assert len(first) == kinds
    return saved(path, [op for name in first for op in (name, "Neg", "Ceil")]), refusing(*((n, "Neg") for n in first))


def test_the_last_round_counts(tmp_path):
    entry, compiles = many(tmp_path / "m.onnx", ROUNDS)
    assert len(leave_to_cpu(entry, compiles)) == ROUNDS
    assert left(entry) == ["Neg"] * ROUNDS
    assert compiles(entry) is None


def test_after_the_last_round_the_file_is_as_it_was(tmp_path):
    entry, compiles = many(tmp_path / "m.onnx", ROUNDS + 1)
    before = entry.read_bytes()
    assert len(leave_to_cpu(entry, compiles)) == ROUNDS
    assert entry.read_bytes() == before


def test_a_refusal_of_what_is_left_to_the_cpu_already_ends_the_search(entry):
    before, compiles = entry.read_bytes(), refusing(("MatMul", "Abs"), ("Loop", "Reshape"))
    assert [refusal.kind for refusal in leave_to_cpu(entry, compiles)] == ["Abs"]
    assert entry.read_bytes() == before


def test_the_summary_counts_nodes(tmp_path):
    ops = ["Relu", "Neg", "Abs", "Tanh"] * 5 + ["Relu", "Neg", "Exp", "Tanh"] * 3 + ["Sin", "Cos"] * 2
    found = leave_to_cpu(saved(tmp_path / "m.onnx", ops), refusing(("Relu", "Neg"), ("Sin",)))
    assert [refusal.nodes for refusal in found] == [2, 5, 3], "found in two rounds"
    said = summary(found)["left to the CPU, as the compiler refuses it"]
    assert said == "2 x Sin in floating point, refused by itself; 8 x Neg, refused in Relu, Neg"


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
