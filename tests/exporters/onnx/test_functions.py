"""Primitives as functions of domain ``edgetok``, or inlined."""

from __future__ import annotations

import onnx
import pytest
import torch

from edgetok.ops import bipartite_match, destinations, reduce, restore

MIXED = [{}, {"match": "sort-free", "reduce": "one-hot"}, {"match": "sort-free"}]


def merging(x):
    keep, src, dst = bipartite_match(x, None, 4, 1)
    y = reduce(x, None, keep, src, dst, "mean")
    sizes = reduce(torch.ones_like(x[..., :1]), None, keep, src, dst, "sum").squeeze(-1)
    keep, src, dst = bipartite_match(y, sizes, 3, 1)
    z = reduce(y, sizes, keep, src, dst, "mean")
    return z, restore(z, destinations(keep, src, dst, y.shape[1])), keep


@pytest.fixture
def program(capture):
    return capture(merging, {"x": torch.randn(2, 17, 8)})


@pytest.mark.parametrize(
    "realisations", [{}, {"match": "sort-free", "reduce": "one-hot"}, {"match": "sort-free"}], ids=str
)
@pytest.mark.parametrize("functions", ["keep", "inline"])
def test_both_forms_run(trip, agree, program, functions, realisations):
    runner = trip(program, functions=functions, **realisations)
    agree(runner, program, {"x": torch.randn(3, 17, 8)}, atol=1e-6)


def test_kept_functions_carry_standard_bodies(trip, program):
    trip(program, functions="keep")
    model = onnx.load(trip.exported.entry)
    onnx.checker.check_model(model)
    nodes = [node for node in model.graph.node if node.domain == "edgetok"]
    assert [n.op_type for n in nodes].count("bipartite_match") == 2
    assert {(n.op_type, n.overload) for n in nodes} == {(f.name, f.overload) for f in model.functions}
    assert {inner.domain for f in model.functions for inner in f.node} == {""}
    first = next(node for node in nodes if node.op_type == "bipartite_match")
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in first.attribute}
    assert attributes == {"r": 4, "protected": 1, "order": b"reference"}


def test_inlined_files_have_no_function_left(trip, program):
    trip(program, functions="inline")
    model = onnx.load(trip.exported.entry)
    onnx.checker.check_model(model, full_check=True)
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    assert {entry.domain for entry in model.opset_import} == {""}


def test_calls_of_the_same_size_share_a_function(capture, trip):
    def twice(x, y):
        return (*bipartite_match(x, None, 2, 1), *bipartite_match(y, None, 2, 1))

    trip(capture(twice, {"x": torch.randn(2, 9, 4), "y": torch.randn(2, 9, 4)}), functions="keep")
    assert len(onnx.load(trip.exported.entry).functions) == 1
