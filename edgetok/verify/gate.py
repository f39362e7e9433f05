"""The gate itself: run, replay, compare, decide."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgetok.errors import BadInputs, DecisionsDiffer, EdgetokError, ParityFailed
from edgetok.verify.checkbuild import Arrays, CheckBuild, Toolchain, check_build
from edgetok.verify.parity import Decisions, OutputParity, Parity, Site
from edgetok.verify.tolerance import TOLERANCES, Arithmetic, Rules

if TYPE_CHECKING:
    from edgetok.exporter import Runner
    from edgetok.graph.program import Program
    from edgetok.model import Role
    from edgetok.verify.measure import Measured


@dataclass(frozen=True)
class Delivery:
    """A program and the loaded file that was made of it; ``exposed`` where that also returns inner values, by node."""

    program: Program
    runner: Runner
    exposed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
        dense: the same for the dense model: its figures, on the same inputs, tighten the tolerances. Where it exposes
            what the decisions' scores are computed from (``scores.counterparts``), decisions are judged by the file's
            own scores, and those values by the dense model's.
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
        build = _build(delivery, tools, Path(directory), scored=dense is not None and bool(dense.exposed))
        rules = Rules(TOLERANCES[dtype], TOLERANCES[decides_in(tools)].near_tie)
        measured = measure(delivery, build, given, dense, rules, role)
        parity = _judge(measured, given, dense is not None, dtype, inputs, rules)
        if not all(output.passed for output in parity.outputs):
            parity = _locate(parity, measured, delivery.program, tools, given, Path(directory))
    if not allow_failure:
        require(parity)
    return parity


def decides_in(tools: Toolchain) -> Literal["fp32", "fp16"]:
    """What a file decides in, which is never quantised: fp16 where the target computes in it, or the file does."""
    half = "fp16" in (tools.target.computes, getattr(tools.options, "dtype", "fp32"))
    return "fp16" if half else "fp32"


def _build(delivery: Delivery, tools: Toolchain, directory: Path, *, scored: bool) -> CheckBuild | None:
    """The check build that exposes every decision, and what it is made of; None where nothing is decided."""
    from edgetok.verify.replay import decision_nodes
    from edgetok.verify.scores import origins, scores_of

    decisions = decision_nodes(delivery.program)
    inner = [node for decision in decisions for node in (*scores_of(decision), *origins(decision))] if scored else []
    names = list(dict.fromkeys(node.name for node in [*decisions, *inner]))
    return check_build(delivery.program, tools, names, directory, "check") if decisions else None


def _judge(
    measured: Measured, given: Sequence[Arrays], dense: bool, dtype: Arithmetic, inputs: str, rules: Rules
) -> Parity:
    decisions = _decisions(measured.sites) if measured.sites else None
    passed = all(output.passed for output in measured.outputs) and (decisions is None or decisions.passed)
    return Parity(
        passed=passed,
        max_abs=max(output.rewritten.max_abs for output in measured.outputs),
        how=_how(measured, len(given), dense, dtype, inputs, rules),
        dtype=dtype,
        inputs="real" if inputs == "real" else "seeded",
        n=measured.n,
        outputs=measured.outputs,
        decisions=decisions,
        task=measured.task,
    )


def _decisions(sites: tuple[Site, ...]) -> Decisions:
    worst = max(sites, key=lambda site: site.worst_gap / site.near_tie)
    return Decisions(
        sites=sites,
        samples=sites[0].samples,
        same_share=sum(site.same for site in sites) / sum(site.samples for site in sites),
        worst_gap=worst.worst_gap,
        near_tie=worst.near_tie,
        passed=all(site.passed for site in sites),
    )


def _how(measured: Measured, batches: int, dense: bool, dtype: Arithmetic, inputs: str, rules: Rules) -> str:
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
        parts.append(_how_decided(measured.sites, rules))
    return "; ".join(parts) + "."


def _how_decided(sites: Sequence[Site], rules: Rules) -> str:
    found = [(site.scores.snr_db, site.control.snr_db) for site in sites if site.scores and site.control]
    if not found:
        return f"a differing decision may give away at most {rules.near_tie(scored=False):g} of score"
    worst, control = min(found)
    return (
        f"a decision may give away at most {rules.near_tie(scored=True):g} of the file's own scores, and the values "
        f"behind these be as noisy as the dense file's of the same precision, {rules.row.snr_slack_db:g} dB allowed "
        f"(at worst {worst:.1f} dB where that has {control:.1f})"
    )


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
            why="; ".join(map(_describe_site, sites)),
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


def _describe_site(site: Site) -> str:
    differing = site.samples - site.same
    text = f"at {site.module or site.node} ({site.node}) {differing} of {site.samples} samples decide differently"
    own = "its own " if site.scores else ""
    text += f", giving away up to {site.worst_gap:.3g} of {own}score (a near-tie is at most {site.near_tie:g})"
    if site.scores and site.scores_bound and not site.scores_bound.admits(site.scores):
        text += f"; what the scores are made of has {site.scores}, needs {site.scores_bound} (dense: {site.control})"
    return text + (f"; {site.invalid} are no valid token map" if site.invalid else "")
