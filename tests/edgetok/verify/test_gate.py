"""The gate against a runtime with known faults: each must be caught, or pass, as it should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.fx import Node

from edgetok.errors import BadInputs, DecisionsDiffer, ExportFailed, ParityFailed
from edgetok.graph.program import Program
from edgetok.verify import Delivery, Parity, verify

NEAR_TIE = [[[0, 1, 3, 4, 5]], [[2]], [[2]]]
WRONG = [[[0, 1, 2, 3, 5]], [[4]], [[4]]]
INVALID = [[[0, 1, 3, 4, 5]], [[0]], [[2]]]


def decides(choice: list[list[list[int]]]) -> Any:
    """A fault: the second sample of every match is decided as ``choice``."""

    def fault(node: Node, value: Any, stem: str) -> Any:
        if node.target is not torch.ops.edgetok.bipartite_match.default:
            return value
        return tuple(torch.cat([part[:1], torch.tensor(row)]) for part, row in zip(value, choice, strict=True))

    return fault


def scales(module: str, factor: float, stem: str = "", batch: int | None = None) -> Any:
    """A fault: linear layers of ``module`` are off by ``factor``, in builds ``stem`` or at size ``batch`` only."""

    def fault(node: Node, value: Any, build: str) -> Any:
        path = str(list((node.meta.get("nn_module_stack") or {"": ("",)}).values())[-1][0])
        hit = node.target is torch.ops.aten.linear.default and path == module
        hit = hit and (not stem or build == stem) and (batch is None or len(value) == batch)
        return value * factor if hit else value

    return fault


def half(node: Node, value: Any, stem: str) -> Any:
    """A fault: every value is rounded to fp16."""
    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.half().float() if floating and node.op == "call_function" else value


@pytest.fixture
def gate(lab: Any, merging: Program, tmp_path: Path) -> Any:
    """Deliver ``merging`` through a faulty exporter and verify it."""

    def run(fault: Any = None, program: Program = merging, **options: Any) -> Parity:
        exporter = lab.Exporter(fault) if fault else lab.Exporter()
        delivery = Delivery(program, exporter.deliver(program, tmp_path))
        return verify(delivery, exporter.tools, options.pop("batches", [lab.batch]), scratch=tmp_path, **options)

    return run


def test_a_faithful_runtime_passes(gate: Any) -> None:
    parity = gate(role="classifier")
    assert parity.passed
    assert parity.max_abs == 0
    assert parity.n == 2
    assert (parity.decisions.same_share, parity.decisions.worst_gap) == (1.0, 0.0)
    assert (parity.task.output, parity.task.n, parity.task.top1) == ("logits", 2, 1.0)
    assert parity.inputs == "seeded"


@pytest.mark.parametrize("module", ["blocks.0.fc", "blocks.1.fc", "head"])
def test_wrong_arithmetic_names_the_first_diverging_module(gate: Any, module: str) -> None:
    with pytest.raises(ParityFailed, match=f"first diverging module: {module}") as caught:
        gate(scales(module, 1.001))
    assert "'logits'" in caught.value.why
    assert "dB" in caught.value.why


def test_a_near_tie_decided_otherwise_passes_though_outputs_differ(
    gate: Any, merging: Program, lab: Any, tmp_path: Path
) -> None:
    parity = gate(decides(NEAR_TIE), role="classifier")
    assert parity.passed
    assert parity.max_abs == 0
    assert parity.task.top1 == 0.5, "the answer changed, and the record says so"
    (site,) = parity.decisions.sites
    assert (site.samples, site.same, site.invalid) == (2, 1, 0)
    assert parity.decisions.same_share == 0.5
    assert 0 < site.worst_gap < 1e-6
    plain = lab.Exporter(decides(NEAR_TIE)).deliver(merging, tmp_path)(lab.batch)["logits"]
    assert np.abs(plain[0] - plain[1]).max() > 0.1, "without replay the two samples are far apart"


def test_a_wrong_decision_fails_though_outputs_replay(gate: Any) -> None:
    with pytest.raises(DecisionsDiffer, match=r"blocks\.0 .*1 of 2 samples") as caught:
        gate(decides(WRONG))
    parity = gate(decides(WRONG), allow_failure=True)
    assert not parity.passed
    assert all(output.passed for output in parity.outputs)
    assert parity.decisions.worst_gap > 0.3
    assert f"{parity.decisions.worst_gap:.3g}" in caught.value.why


def test_an_invalid_map_fails_and_is_counted(gate: Any) -> None:
    with pytest.raises((DecisionsDiffer, ParityFailed)):
        gate(decides(INVALID))
    parity = gate(decides(INVALID), allow_failure=True)
    assert parity.decisions.sites[0].invalid == 1
    assert not parity.decisions.passed


def test_a_failure_can_be_allowed_and_stays_recorded_as_json(gate: Any) -> None:
    parity = gate(scales("head", 1.01), allow_failure=True)
    assert not parity.passed
    assert parity.first_diverging_module == "head"
    text = parity.model_dump_json()
    assert Parity.model_validate_json(text) == parity
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_the_delivered_file_must_equal_its_check_build(gate: Any) -> None:
    with pytest.raises(ParityFailed, match="against the check build"):
        gate(scales("head", 1.001, stem="model"))


def test_a_program_without_decisions_needs_no_check_build(gate: Any, dense: Program, tmp_path: Path) -> None:
    parity = gate(program=dense)
    assert parity.passed
    assert parity.decisions is None
    with pytest.raises(ParityFailed, match=r"blocks\.1\.fc"):
        gate(scales("blocks.1.fc", 1.001), program=dense)


def test_fp16_rounding_passes_as_fp16_and_fails_as_fp32(gate: Any) -> None:
    parity = gate(half, dtype="fp16")
    assert parity.passed
    assert 50 < parity.outputs[0].rewritten.snr_db < 90
    with pytest.raises(ParityFailed):
        gate(half, dtype="fp32")


def test_the_dense_model_tightens_the_bound(gate: Any, dense: Program, lab: Any, tmp_path: Path) -> None:
    fault = scales("head", 1 + 3e-5)
    assert gate(fault).passed
    exact = Delivery(dense, lab.Exporter().deliver(dense, tmp_path))
    with pytest.raises(ParityFailed, match="dense: 400"):
        gate(fault, dense=exact)
    alike = Delivery(dense, lab.Exporter(fault).deliver(dense, tmp_path))
    parity = gate(fault, dense=alike)
    assert parity.passed
    assert parity.outputs[0].dense.snr_db == pytest.approx(parity.outputs[0].rewritten.snr_db, abs=12)


def test_nan_never_passes(gate: Any) -> None:
    with pytest.raises(ParityFailed, match="6 entries mismatched"):
        gate(scales("head", float("nan")), allow_failure=False)


def test_every_batch_counts(gate: Any, lab: Any) -> None:
    angles = np.linspace(0.0, 2.5, 6)
    batches = [lab.batch, {"x": lab.directions(angles, angles, angles)}]
    assert gate(batches=batches).n == 5
    with pytest.raises(ParityFailed, match=r"first diverging module: blocks\.1\.fc"):
        gate(scales("blocks.1.fc", 1.001, batch=3), batches=batches)


def test_a_changed_answer_shows_in_task_agreement(gate: Any) -> None:
    parity = gate(scales("head", -1.0), role="classifier", allow_failure=True)
    assert parity.task.top1 == 0.0


def test_failure_stands_when_the_module_cannot_be_located(lab: Any, merging: Program, tmp_path: Path) -> None:
    class Breaks(lab.Exporter):
        def export(self, *args: Any, stem: str = "model", **kwargs: Any) -> Any:
            if stem == "modules":
                raise ExportFailed("Too many outputs.")
            return super().export(*args, stem=stem, **kwargs)

    exporter = Breaks(scales("head", 1.001))
    delivery = Delivery(merging, exporter.deliver(merging, tmp_path))
    parity = verify(delivery, exporter.tools, [lab.batch], scratch=tmp_path, allow_failure=True)
    assert not parity.passed
    assert "could not be located: Too many outputs." in parity.how
    with pytest.raises(ParityFailed, match="not located"):
        verify(delivery, exporter.tools, [lab.batch], scratch=tmp_path)


def test_needs_inputs(gate: Any) -> None:
    with pytest.raises(BadInputs, match="at least one batch"):
        gate(batches=[])
    with pytest.raises(BadInputs, match="'x'"):
        gate(batches=[{"pixels": np.zeros((2, 6, 2), np.float32)}])


def test_check_builds_are_deleted(gate: Any, tmp_path: Path) -> None:
    gate(scales("head", 1.01), allow_failure=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.faulty"]
