"""The gate itself: run, replay, compare, decide."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgetok.errors import BadInputs, DecisionsDiffer, EdgetokError, ParityFailed
from edgetok.verify.checkbuild import Arrays, CheckBuild, Toolchain, check_build
from edgetok.verify.parity import Decisions, OutputParity, Parity, Site
from edgetok.verify.tolerance import TOLERANCES, Arithmetic, Tolerance

if TYPE_CHECKING:
    from edgetok.exporter import Runner
    from edgetok.graph.program import Program
    from edgetok.model import Role
    from edgetok.verify.measure import Measured


@dataclass(frozen=True)
class Delivery:
    """A program and the loaded file that was made of it."""

    program: Program
    runner: Runner


def verify(
    delivery: Delivery,
    tools: Toolchain,
    batches: Iterable[Arrays],
    *,
    dense: Delivery | None = None,
    dtype: Arithmetic = "fp32",
    role: Role = "generic",
    inputs: Literal["real", "seeded"] = "seeded",
    allow_failure: bool = False,
    scratch: Path | None = None,
) -> Parity:
    """Hold a delivered file against the program it was made of.

    Args:
        delivery: the rewritten program (fp32, with weights) and its file, loaded.
        tools: exporter, target and options the file was made with; check builds are made the same way.
        batches: inputs by name, axis 0 of every input being the batch.
        dense: the same for the dense model: its figures, on the same inputs, tighten the tolerances.
        dtype: what the file computes in; picks the row of ``TOLERANCES``.
        role: ``classifier`` adds the agreement of highest logits.
        inputs: where the inputs come from, for the record.
        allow_failure: return a failing ``Parity`` instead of raising.
        scratch: directory for check builds; they are deleted.

    Raises:
        ParityFailed: an output is out of bounds; names the first diverging module.
        DecisionsDiffer: a decision differs and is no near-tie.
        BadInputs: no batch is given, or an input is missing.
    """
    from edgetok.verify.measure import measure

    given = list(batches)
    if not given:
        raise BadInputs("Parity needs at least one batch of inputs.", why="0 batches were given")
    with tempfile.TemporaryDirectory(prefix="edgetok-check-", dir=scratch) as directory:
        build = _build(delivery, tools, Path(directory))
        measured = measure(delivery, build, given, dense, TOLERANCES[dtype], role)
        parity = _judge(measured, given, dense is not None, dtype, inputs)
        if not all(output.passed for output in parity.outputs):
            parity = _locate(parity, measured, delivery.program, tools, given, Path(directory))
    if not allow_failure:
        require(parity)
    return parity


def _build(delivery: Delivery, tools: Toolchain, directory: Path) -> CheckBuild | None:
    """The check build that exposes every decision; None where nothing is decided."""
    from edgetok.verify.replay import decision_nodes

    decisions = [node.name for node in decision_nodes(delivery.program)]
    return check_build(delivery.program, tools, decisions, directory, "check") if decisions else None


def _judge(measured: Measured, given: Sequence[Arrays], dense: bool, dtype: Arithmetic, inputs: str) -> Parity:
    row = TOLERANCES[dtype]
    decisions = _decisions(measured.sites, row) if measured.sites else None
    passed = all(output.passed for output in measured.outputs) and (decisions is None or decisions.passed)
    return Parity(
        passed=passed,
        max_abs=max(output.rewritten.max_abs for output in measured.outputs),
        how=_how(measured, len(given), dense, dtype, inputs),
        dtype=dtype,
        inputs="real" if inputs == "real" else "seeded",
        n=measured.n,
        outputs=measured.outputs,
        decisions=decisions,
        task=measured.task,
    )


def _decisions(sites: tuple[Site, ...], row: Tolerance) -> Decisions:
    return Decisions(
        sites=sites,
        samples=sites[0].samples,
        same_share=sum(site.same for site in sites) / sum(site.samples for site in sites),
        worst_gap=max(site.worst_gap for site in sites),
        near_tie=row.near_tie,
        passed=all(site.passed for site in sites),
    )


def _how(measured: Measured, batches: int, dense: bool, dtype: Arithmetic, inputs: str) -> str:
    row, sites = TOLERANCES[dtype], len(measured.sites)
    subject = f"a check build that exposes {sites} decisions" if sites else "the delivered file"
    parts = [
        f"{measured.n} {inputs} samples in {batches} batches: {subject} against the rewritten program in torch eager"
        + (", the runtime's decisions replayed" if sites else ""),
        f"every output at least {row.snr_db:g} dB and within {row.rel:g} of its peak ({dtype})"
        + (", tightened to the dense model's own figures on the same samples" if dense else ""),
    ]
    if sites:
        parts.append(f"delivered file against check build at least {row.same_snr_db:g} dB")
        parts.append(f"a differing decision may give away at most {row.near_tie:g} of score")
    return "; ".join(parts) + "."


def _locate(
    parity: Parity, measured: Measured, program: Program, tools: Toolchain, given: Sequence[Arrays], directory: Path
) -> Parity:
    """The parity with the first diverging module named, where one can be found."""
    from edgetok.verify.divergence import first_diverging

    bound = TOLERANCES[parity.dtype].bound(None)
    try:
        module = first_diverging(program, tools, given[measured.failing_batch], bound, directory)
    except EdgetokError as error:
        note = f" The first diverging module could not be located: {error.what}"
        return parity.model_copy(update={"how": parity.how + note})
    return parity.model_copy(update={"first_diverging_module": module})


def require(parity: Parity) -> None:
    """Raise unless the gate is passed.

    Raises:
        ParityFailed: an output is out of bounds.
        DecisionsDiffer: a decision differs and is no near-tie.
    """
    keep = "Deliver it all the same with --allow-parity-failure; the report will say so."
    failing = [output for output in parity.outputs if not output.passed]
    if failing:
        raise ParityFailed(
            "The exported file does not compute what the rewritten program computes.",
            why="; ".join([*map(_describe, failing), f"first diverging module: {_first(parity)}"]),
            hint=f"Try another realisation or dtype for this target, or report the module. {keep}",
        )
    if parity.decisions is not None and not parity.decisions.passed:
        sites = [site for site in parity.decisions.sites if not site.passed]
        raise DecisionsDiffer(
            "The exported file decides differently where no near-tie explains it.",
            why="; ".join(_describe_site(site, parity.decisions.near_tie) for site in sites),
            hint=f"Try another realisation of the match for this target. {keep}",
        )


def _first(parity: Parity) -> str:
    return parity.first_diverging_module or "not located"


def _describe(output: OutputParity) -> str:
    pairs = [
        ("program", output.rewritten, output.bound),
        ("check build", output.delivered, output.delivered_bound),
    ]
    failing = [
        f"output {output.name!r} against the {reference} has {found}, needs {bound}"
        for reference, found, bound in pairs
        if not bound.admits(found)
    ]
    return "; ".join(failing) + (f" (dense: {output.dense})" if output.dense else "")


def _describe_site(site: Site, near_tie: float) -> str:
    differing = site.samples - site.same
    text = f"at {site.module or site.node} ({site.node}) {differing} of {site.samples} samples decide differently"
    text += f", giving away up to {site.worst_gap:.3g} of score (a near-tie is at most {near_tie:g})"
    return text + (f"; {site.invalid} are no valid token map" if site.invalid else "")
