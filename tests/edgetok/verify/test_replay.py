"""The replaying reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgetok import ops
from edgetok.graph.capture import capture
from edgetok.graph.program import Program
from edgetok.model import Component
from edgetok.ops.decisions import register_decision
from edgetok.verify.divergence import landmarks, module_of
from edgetok.verify.replay import decision_nodes, replay


@torch.library.custom_op("edgetok_verify_test::largest", mutates_args=())
def largest(x: Tensor, offset: int = 0) -> Tensor:
    """A third party's decision: the row of the largest entry."""
    return x.argmax(1)[:, None] + offset


@largest.register_fake
def _(x: Tensor, offset: int = 0) -> Tensor:
    return x.new_empty((x.shape[0], 1), dtype=torch.int64)


LARGEST = torch.ops.edgetok_verify_test.largest.default


class Prune(nn.Module):
    """Keeps the best three tokens."""

    def forward(self, x: Tensor) -> Tensor:
        keep = ops.select_top(x.sum(-1), 3, 1)
        return ops.reduce(x, None, keep, keep[:, :0], keep[:, :0], "first") * 2


class Third(nn.Module):
    """Gathers the entry that a third party's operator decides on."""

    def forward(self, x: Tensor) -> Tensor:
        return x.gather(1, LARGEST(x)) + 1


def test_without_decisions_it_is_the_program(merging: Program, lab: Any) -> None:
    expected = merging.exported.module()(x=torch.from_numpy(lab.batch["x"])).detach().numpy()
    found = replay(merging, lab.batch, {})
    np.testing.assert_array_equal(found.outputs["logits"], expected)
    assert found.judgements == ()


def test_a_decision_of_one_tensor_is_replayed(lab: Any) -> None:
    x = torch.arange(10.0).reshape(1, 5, 2).repeat(2, 1, 1)
    program = lab.program_of(Prune(), x, outputs=["y"])
    (node,) = decision_nodes(program)
    found = replay(program, {"x": x.numpy()}, {node.name: [np.array([[0, 3, 4], [0, 1, 4]])]})
    np.testing.assert_array_equal(found.outputs["y"][1], 2 * x[1, [0, 1, 4]].numpy())
    (judgement,) = found.judgements
    assert judgement.same.tolist() == [True, False]
    assert judgement.gap.tolist() == [0, pytest.approx((13 - 5) / 17)]


def test_an_invalid_sample_goes_on_with_the_references_choice(lab: Any) -> None:
    x = torch.arange(10.0).reshape(1, 5, 2).repeat(2, 1, 1)
    program = lab.program_of(Prune(), x, outputs=["y"])
    (node,) = decision_nodes(program)
    own = replay(program, {"x": x.numpy()}, {}).outputs["y"]
    for wrong in (np.array([[0, 3, 4], [0, 9, 4]]), np.array([[0, 3], [0, 4]])):
        found = replay(program, {"x": x.numpy()}, {node.name: [wrong]})
        np.testing.assert_array_equal(found.outputs["y"], own)
        assert np.isinf(found.judgements[0].gap[1])
        assert not found.judgements[0].same[1]


def test_third_parties_register_their_own_gap(lab: Any) -> None:
    def cost(args: tuple[Any, ...], decision: tuple[Tensor, ...]) -> Tensor:
        x, offset = args
        return x.amax(1) - x.gather(1, decision[0] - offset).squeeze(1)

    x = torch.tensor([[1.0, 5.0, 4.0], [3.0, 2.0, 0.0]])
    program = lab.program_of(Third(), x, outputs=["y"])
    assert decision_nodes(program) == []
    register_decision(LARGEST, cost)
    (node,) = decision_nodes(program)
    found = replay(program, {"x": x.numpy()}, {node.name: [np.array([[2], [0]])]})
    assert found.outputs["y"].tolist() == [[5.0], [4.0]]
    assert found.judgements[0].gap.tolist() == [1.0, 0.0]


def test_watched_values_are_returned(merging: Program, lab: Any) -> None:
    marks = landmarks(merging)
    assert list(marks.values()) == ["blocks.0.fc", "blocks.0", "blocks.1.fc", "blocks.1", "", "head"]
    found = replay(merging, lab.batch, {}, list(marks))
    assert set(found.values) == set(marks)


def test_lineage_names_the_module_before_torch_does() -> None:
    graph = torch.fx.Graph()
    node = graph.placeholder("x")
    assert module_of(node) == ""
    node.meta["nn_module_stack"] = {"a": ("model.layer", "Layer")}
    assert module_of(node) == "model.layer"
    node.meta["custom"] = {"edgetok": {"module": "vit.layers.3"}}
    assert module_of(node) == "vit.layers.3"


CHOICES = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.1, 0.4, 0.399, 0.101]])


class Router(torch.nn.Module):
    """The sum of the best two scores, and which they are."""

    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        best = scores.topk(2, dim=-1)
        return best.values.sum(-1), best.indices


def test_a_runtimes_choice_is_replayed():
    program = capture(Component("router", Router(), {"scores": CHOICES}))
    (node,) = decision_nodes(program)
    theirs = (np.zeros((2, 2), np.float32), np.array([[0, 2], [2, 1]], np.int32))
    replayed = replay(program, {"scores": CHOICES.numpy()}, {node.name: theirs})
    total, chosen = replayed.outputs.values()
    np.testing.assert_allclose(total, [0.7, 0.799], rtol=1e-6)
    assert chosen.tolist() == [[0, 2], [2, 1]]
    (judgement,) = replayed.judgements
    assert judgement.same.tolist() == [False, True]
    np.testing.assert_allclose(judgement.gap, [0.2, 0.0], atol=1e-6)
