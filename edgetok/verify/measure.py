"""Running both sides over all batches, keeping figures only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgetok.verify.checkbuild import Arrays, CheckBuild
from edgetok.verify.compare import figures, worst
from edgetok.verify.parity import Figures, OutputParity, Site, TaskAgreement
from edgetok.verify.replay import Judgement, Replayed, decision_nodes, replay
from edgetok.verify.scores import counterparts, origins, scores_of
from edgetok.verify.sites import Noise, judge

if TYPE_CHECKING:
    from torch.fx import Node

    from edgetok.graph.program import Program
    from edgetok.model import Role
    from edgetok.verify.gate import Delivery
    from edgetok.verify.tolerance import Rules, Tolerance

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
    inner: ByOutput = field(default_factory=lambda: defaultdict(list))
    control: ByOutput = field(default_factory=lambda: defaultdict(list))
    agree: list[np.ndarray] = field(default_factory=list)
    n: int = 0


def measure(
    delivery: Delivery,
    build: CheckBuild | None,
    batches: Sequence[Arrays],
    dense: Delivery | None,
    rules: Rules,
    role: Role,
) -> Measured:
    """Run every batch through the delivered file, the check build and the reference (and the dense pair).

    Args:
        delivery: the rewritten program and its file.
        build: the check build with all decisions exposed, None where nothing is decided.
        batches: inputs by name.
        dense: the dense program and its file.
        rules: tolerances of the dtype.
        role: of the component.
    """
    tally, logits = _Tally(), _logits(delivery.program) if role == "classifier" else None
    sources = _sources(delivery.program, dense)
    for batch in batches:
        outputs = delivery.runner(batch)
        reference = _compare(tally, delivery.program, build, batch, outputs, sources)
        if logits is not None:
            own = _own(delivery.program, batch, reference)
            tally.agree.append(outputs[logits].argmax(-1) == own[logits].argmax(-1))
        if dense is not None:
            _compare_dense(tally, dense, batch)
        tally.n += len(next(iter(batch.values())))
    return Measured(
        n=tally.n,
        outputs=tuple(_output(name, tally, rules.row) for name in tally.rewritten),
        sites=tuple(
            judge(node, tally.judgements[node.name], _noise(node, tally, rules.row, sources), rules)
            for node in decision_nodes(delivery.program)
        ),
        task=None if logits is None else _task(logits, tally),
        failing_batch=_worst_batch(tally.rewritten),
    )


def _sources(program: Program, dense: Delivery | None) -> dict[str, str]:
    """What decisions are computed from, by node name, and the dense program's node for the same that is exposed."""
    if dense is None or not dense.exposed:
        return {}
    return {own: other for own, other in counterparts(program, dense.program).items() if other in dense.exposed}


def _compare(
    tally: _Tally,
    program: Program,
    build: CheckBuild | None,
    batch: Arrays,
    outputs: dict[str, np.ndarray],
    sources: Mapping[str, str],
) -> Replayed:
    """One batch against the reference, with the check build's decisions where there are any."""
    checked, values = build(batch) if build else (outputs, {})
    nodes = decision_nodes(program)
    decisions = {node.name: values[node.name] for node in nodes}
    scores = {score.name: values[score.name][0] for n in nodes for score in scores_of(n) if sources}
    reference = replay(program, batch, decisions, list(sources), scores)
    _add(tally.inner, {name: values[name][0] for name in sources}, reference.values)
    _add(tally.rewritten, checked, reference.outputs)
    _add(tally.delivered, outputs, checked)
    for judgement in reference.judgements:
        tally.judgements[judgement.node].append(judgement)
    return reference


def _compare_dense(tally: _Tally, dense: Delivery, batch: Arrays) -> None:
    found = dense.runner(batch)
    reference = replay(dense.program, batch, {}, list(dense.exposed))
    _add(tally.dense, found, reference.outputs)
    _add(tally.control, {node: found[names[0]] for node, names in dense.exposed.items()}, reference.values)


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


def _noise(node: Node, tally: _Tally, row: Tolerance, sources: Mapping[str, str]) -> list[Noise]:
    """Of everything that a decision's scores are computed from; empty where the control lacks any of it."""
    behind = [origin.name for origin in origins(node)]
    if not all(name in sources for name in behind):
        return []
    pairs = [(worst(tally.inner[name]), worst(tally.control[sources[name]])) for name in behind]
    return [Noise(found, control, row.beside(control)) for found, control in pairs]


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
