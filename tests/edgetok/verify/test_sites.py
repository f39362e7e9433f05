"""Decisions of quantised files: judged by the scores they were made on, which may be as noisy as the control's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node, traceback

from edgetok import ops
from edgetok.errors import DecisionsDiffer
from edgetok.graph.program import Program
from edgetok.target import Target
from edgetok.verify import TOLERANCES, Delivery, Figures, Parity, verify
from edgetok.verify.checkbuild import Toolchain
from edgetok.verify.gate import decides_in
from edgetok.verify.scores import counterparts, decision_nodes, origins, scores_of

STEP = 0.25


class Keyed(nn.Module):
    """Keys by a layer, one merge by their mean over two heads, a head over the sum of tokens."""

    def __init__(self, r: int) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.r, self.key, self.head = r, nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        keys = self.key(x)
        y = x + keys
        if self.r:
            with traceback.annotate({"edgetok": {"plugin": "tome"}}):
                match = ops.bipartite_match(keys.reshape(*keys.shape[:2], 2, 2).mean(2), None, self.r, 0, "kept")
                y = ops.reduce(y, None, *match)
        return self.head(y.sin().sum(1))


def rounded(node: Node, value: Any, stem: str) -> Any:
    """Keys in few steps, as integers would have them."""
    return (value / STEP).round() * STEP if node.name == "linear" else value


def coarse_answers(node: Node, value: Any, stem: str) -> Any:
    """Outputs in steps so wide that any output of the other file passes beside them; keys are exact."""
    return (value / 2).round() * 2 if node.name == "linear_1" else value


def worst(node: Node, value: Any, stem: str) -> Any:
    """Keys in few steps, and the last pair merged whatever they are."""
    if node.target is not torch.ops.edgetok.bipartite_match.default:
        return rounded(node, value, stem)
    rows = len(value[0])
    return tuple(torch.tensor([part] * rows) for part in ([0, 1, 2, 3, 4, 5, 7], [6], [6]))


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    return {"x": torch.randn(16, 8, 4, generator=torch.Generator().manual_seed(1)).numpy()}


@pytest.fixture(scope="module")
def programs(lab: Any) -> tuple[Program, Program]:
    with traceback.preserve_node_meta():
        return tuple(lab.program_of(Keyed(r), torch.randn(2, 8, 4)) for r in (1, 0))


@pytest.fixture
def gate(lab: Any, programs: tuple[Program, Program], batch: Any, tmp_path: Path) -> Any:
    """Verify the merging program with a fault, beside a control with another."""

    def run(fault: Any, control: Any, **options: Any) -> Parity:
        merging, dense = programs
        exporter, other = lab.Exporter(fault), lab.Exporter(control)
        made = other.export(dense, other.tools.target, tmp_path, stem="control", expose=["linear"])
        beside = Delivery(dense, other.load(made.entry), made.exposed)
        delivery = Delivery(merging, exporter.deliver(merging, tmp_path))
        return verify(delivery, exporter.tools, [batch], dense=beside, dtype="int8", scratch=tmp_path, **options)

    return run


def test_what_a_decision_is_made_of_is_found_behind_the_plugin(programs: tuple[Program, Program]) -> None:
    merging, dense = programs
    (decision,) = decision_nodes(merging)
    assert [node.name for node in scores_of(decision)] == ["mean"]
    assert [node.name for node in origins(decision)] == ["linear"]
    assert counterparts(merging, dense) == {"linear": "linear"}


def test_noisy_keys_decide_otherwise_and_pass_where_the_control_is_as_noisy(gate: Any) -> None:
    parity = gate(rounded, rounded)
    (site,) = parity.decisions.sites
    assert parity.passed
    assert site.same < site.samples
    assert site.reference_gap > 1e-2 > parity.decisions.near_tie > site.worst_gap
    assert abs(site.scores.snr_db - site.control.snr_db) < 4
    assert "of the file's own scores" in parity.how


def test_a_decision_against_its_own_scores_fails_however_noisy_they_are(gate: Any) -> None:
    with pytest.raises(DecisionsDiffer, match="of its own score") as caught:
        gate(worst, rounded)
    assert "a near-tie is at most 2e-05" in caught.value.why


def test_keys_noisier_than_the_controls_fail(gate: Any) -> None:
    with pytest.raises(DecisionsDiffer, match="what the scores are made of") as caught:
        gate(rounded, coarse_answers)
    assert "dense: 400.0 dB" in caught.value.why


def test_one_token_may_scatter_and_not_be_lost() -> None:
    """ViT-Tiny in XNNPACK: the largest error is 2.4 times the control's; a lost token is off by the peak."""
    bound = TOLERANCES["int8"].beside(Figures(max_abs=0.5, rel=0.085, snr_db=25.4))
    assert bound.admits(Figures(max_abs=1.2, rel=0.203, snr_db=25.0))
    assert not bound.admits(Figures(max_abs=6.0, rel=1.0, snr_db=25.0))
    assert not bound.admits(Figures(max_abs=1.2, rel=0.203, snr_db=21.0))


def test_a_control_that_exposes_nothing_leaves_the_references_scores(
    lab: Any, programs: tuple[Program, Program], batch: Any, tmp_path: Path
) -> None:
    merging, dense = programs
    exporter = lab.Exporter(rounded)
    beside = Delivery(dense, lab.Exporter(rounded).deliver(dense, tmp_path))
    delivery = Delivery(merging, exporter.deliver(merging, tmp_path))
    parity = verify(delivery, exporter.tools, [batch], dense=beside, dtype="int8", scratch=tmp_path, allow_failure=True)
    (site,) = parity.decisions.sites
    assert (site.scores, site.reference_gap) == (None, None)
    assert parity.decisions.near_tie == 0.1
    assert site.worst_gap > 1e-2


@pytest.mark.parametrize(("computes", "decides"), [("fp32", "fp32"), ("fp16", "fp16")])
def test_near_ties_are_those_of_what_the_target_computes_in(lab: Any, computes: Any, decides: str) -> None:
    target = Target(name="t", summary="t", exporter="faulty", runtime="torch", computes=computes)
    assert decides_in(Toolchain(lab.Exporter(), target)) == decides
