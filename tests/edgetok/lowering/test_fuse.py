"""Where a target asks for it, matches become matrices; the program still computes the same."""

from __future__ import annotations

import pytest
import torch

from edgetok.graph import Program
from edgetok.graph.nodes import op_name
from edgetok.lowering import lower
from edgetok.ops import matrix_ops, register
from edgetok.registry import installed
from edgetok.target import Realisations, Target
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, subject

ToMe = installed().plugins["tome"].value


def target(fused: bool) -> Target:
    wanted = Realisations(match="sort-free", reduce="one-hot", fused=fused)
    return Target(name="here", summary="torch", exporter="none", runtime="torch", realisations=wanted)


Made = tuple[list[torch.Tensor], set[str]]


def outputs(program: Program, fused: bool, batch: int, expose: tuple[str, ...] = ()) -> Made:
    lowered = lower(program, target(fused), batch=batch, expose=expose)
    made = lowered.exported.module(check_guards=False)(**lowered.example)
    return list(made), {op_name(node) for node in lowered.exported.graph.nodes if node.op == "call_function"}


@pytest.fixture(scope="module")
def merged() -> Program:
    return Trial(ToMe(r=(4, 3)), subject(zoo.vit)).optimised


@pytest.mark.parametrize("batch", [1, 2])
def test_a_merged_model_computes_the_same(merged, batch):
    plain, without = outputs(merged, fused=False, batch=batch)
    fused, operations = outputs(merged, fused=True, batch=batch)
    for found, wanted in zip(fused, plain, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)
    assert "max_pool2d" in operations
    assert "amax" in without
    assert not operations & {"amax", "sum", "mean", "tril", "arange", "ones", "eye", "where", "gather", "sort"}


def test_a_check_build_shows_the_decision_that_the_reductions_used(merged):
    match = next(node for node in merged.graph.nodes if node.target == register.BIPARTITE_MATCH)
    shown, operations = outputs(merged, fused=True, batch=2, expose=(match.name,))
    expected, _ = outputs(merged, fused=False, batch=2, expose=(match.name,))
    assert "amax" not in operations, "one decision only"
    for found, wanted in zip(shown[-3:], expected[-3:], strict=True):
        assert torch.equal(found, wanted)


def test_padding_falls_back():
    padded = Trial(ToMe(r=(2,)), subject(zoo.bert)).optimised
    found, operations = outputs(padded, fused=True, batch=2)
    plain, _ = outputs(padded, fused=False, batch=2)
    assert "amax" in operations
    assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))


def test_order_kept_falls_back():
    kept = Trial(ToMe(r=(2,), order="kept"), subject(zoo.vit)).optimised
    assert "amax" in outputs(kept, fused=True, batch=1)[1]


def test_lineage_is_kept(merged):
    graph = lower(merged, target(fused=True)).exported.graph
    pools = [node for node in graph.nodes if op_name(node) == "max_pool2d"]
    assert pools
    assert all(node.meta["custom"]["edgetok"]["plugin"] == "tome" for node in pools)


def test_every_operator_has_its_function():
    assert {str(op) for op in matrix_ops.TABLE} == {
        "edgetok.head_sum.default", "edgetok.match_matrices.default", "edgetok.matrix_sum.default",
        "edgetok.matrix_mean.default", "edgetok.matrix_ids.default",
    }  # fmt: skip
