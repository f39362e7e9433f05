"""Running both sides over all batches, keeping figures only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgetok.verify.checkbuild import Arrays, CheckBuild
from edgetok.verify.compare import figures, worst
from edgetok.verify.divergence import module_of
from edgetok.verify.parity import Figures, OutputParity, Site, TaskAgreement
from edgetok.verify.replay import Judgement, Replayed, decision_nodes, replay

if TYPE_CHECKING:
    from edgetok.graph.program import Program
    from edgetok.model import Role
    from edgetok.verify.gate import Delivery
    from edgetok.verify.tolerance import Tolerance

ByOutput = dict[str, list[Figures]]


@dataclass(frozen=True)
class Measured:
    """Everything the gate judges."""

    n: int
    outputs: tuple[OutputParity, ...]
    sites: tuple[Site, ...]
    task: TaskAgreement | None
    failing_batch: int
    """The batch on which the rewritten program is worst."""


@dataclass
class _Tally:
    rewritten: ByOutput = field(default_factory=lambda: defaultdict(list))
    delivered: ByOutput = field(default_factory=lambda: defaultdict(list))
    dense: ByOutput = field(default_factory=lambda: defaultdict(list))
    judgements: dict[str, list[Judgement]] = field(default_factory=lambda: defaultdict(list))
    agree: list[np.ndarray] = field(default_factory=list)
    n: int = 0


def measure(
    delivery: Delivery,
    build: CheckBuild | None,
    batches: Sequence[Arrays],
    dense: Delivery | None,
    row: Tolerance,
    role: Role,
) -> Measured:
    """Run every batch through the delivered file, the check build and the reference (and the dense pair).

    Args:
        delivery: the rewritten program and its file.
        build: the check build with all decisions exposed, None where nothing is decided.
        batches: inputs by name.
        dense: the dense program and its file.
        row: tolerances of the dtype.
        role: of the component.
    """
    tally, logits = _Tally(), _logits(delivery.program) if role == "classifier" else None
    for batch in batches:
        outputs = delivery.runner(batch)
        reference = _compare(tally, delivery.program, build, batch, outputs)
        if logits is not None:
            own = _own(delivery.program, batch, reference)
            tally.agree.append(outputs[logits].argmax(-1) == own[logits].argmax(-1))
        if dense is not None:
            _add(tally.dense, dense.runner(batch), replay(dense.program, batch, {}).outputs)
        tally.n += len(next(iter(batch.values())))
    return Measured(
        n=tally.n,
        outputs=tuple(_output(name, tally, row) for name in tally.rewritten),
        sites=tuple(_site(node.name, module_of(node), tally, row) for node in decision_nodes(delivery.program)),
        task=None if logits is None else _task(logits, tally),
        failing_batch=_worst_batch(tally.rewritten),
    )


def _compare(
    tally: _Tally, program: Program, build: CheckBuild | None, batch: Arrays, outputs: dict[str, np.ndarray]
) -> Replayed:
    """One batch against the reference, with the check build's decisions where there are any."""
    checked, decisions = build(batch) if build else (outputs, {})
    reference = replay(program, batch, decisions)
    _add(tally.rewritten, checked, reference.outputs)
    _add(tally.delivered, outputs, checked)
    for judgement in reference.judgements:
        tally.judgements[judgement.node].append(judgement)
    return reference


def _add(into: ByOutput, got: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> None:
    for name, value in reference.items():
        into[name].append(figures(got[name], value))


def _own(program: Program, batch: Arrays, reference: Replayed) -> dict[str, np.ndarray]:
    """The reference's outputs when it decides for itself; the replayed ones where that is no difference."""
    if all(judgement.same.all() for judgement in reference.judgements):
        return reference.outputs
    return replay(program, batch, {}).outputs


def _output(name: str, tally: _Tally, row: Tolerance) -> OutputParity:
    rewritten, delivered = worst(tally.rewritten[name]), worst(tally.delivered[name])
    dense = worst(tally.dense[name]) if name in tally.dense else None
    bound = row.bound(dense)
    return OutputParity(
        name=name,
        rewritten=rewritten,
        dense=dense,
        delivered=delivered,
        bound=bound,
        delivered_bound=row.same,
        passed=bound.admits(rewritten) and row.same.admits(delivered),
    )


def _site(node: str, module: str, tally: _Tally, row: Tolerance) -> Site:
    same = np.concatenate([judgement.same for judgement in tally.judgements[node]])
    gap = np.concatenate([judgement.gap for judgement in tally.judgements[node]])
    valid = np.isfinite(gap)
    return Site(
        node=node,
        module=module,
        samples=len(gap),
        same=int(same.sum()),
        invalid=int((~valid).sum()),
        worst_gap=float(gap[valid].max(initial=0.0)),
        passed=bool((gap <= row.near_tie).all()),
    )


def _logits(program: Program) -> str | None:
    """The output that carries class scores: the one called ``logits``, or else the first of two axes."""
    named = [spec.name for spec in program.outputs if spec.name == "logits"]
    return next(iter(named + [spec.name for spec in program.outputs if len(spec.shape) == 2]), None)


def _task(logits: str, tally: _Tally) -> TaskAgreement:
    agree = np.concatenate([part.ravel() for part in tally.agree])
    return TaskAgreement(output=logits, n=agree.size, top1=float(agree.mean()))


def _worst_batch(found: ByOutput) -> int:
    """The index of the batch with a mismatch or else the lowest signal-to-noise ratio, over all outputs."""
    batches = [worst(figures) for figures in zip(*found.values(), strict=True)]
    return min(range(len(batches)), key=lambda i: (-batches[i].mismatched, batches[i].snr_db))
