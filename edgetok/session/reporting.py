"""The report of a run, assembled from what was planned and measured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edgetok.report.cost import FlopsSection, SizeBytes, Timings, Tokens
from edgetok.report.evidence import Accuracy, Refusal, Rewritten
from edgetok.report.evidence import Parity as ParitySection
from edgetok.report.flops import count_flops
from edgetok.report.lowering import Lowering
from edgetok.report.schema import Delivered, Io, ModelInfo, PluginInfo, Report, TargetInfo
from edgetok.report.tokens import tokens_per_layer
from edgetok.session.interface import delivered, dtype_of, fixed_batch
from edgetok.session.versions import machine, versions
from edgetok.session.weight_bytes import size_note

if TYPE_CHECKING:
    from edgetok.graph import TensorSpec
    from edgetok.plan import Plan
    from edgetok.recipe import Recipe
    from edgetok.session.latency import Cost
    from edgetok.session.prepare import Prepared
    from edgetok.session.variants import Variants
    from edgetok.session.weights import Rewritten as Weights
    from edgetok.target import Target
    from edgetok.verify import Parity


@dataclass(frozen=True)
class Evidence:
    """Everything that was measured."""

    variants: Variants
    parity: Parity
    accuracy: Accuracy
    cost: Cost
    seconds: dict[str, float]
    calibrated: str = ""
    weights: Weights | None = None


def make_report(prepared: Prepared, recipe: Recipe, evidence: Evidence) -> Report:
    """Assemble the report; nothing is measured here but what is counted on the graphs."""
    variants, tools, plan = evidence.variants, prepared.tools, prepared.plan
    rewrites = _rewrites(plan, evidence.weights)
    return Report(
        created=datetime.now(UTC),
        plan_digest=plan.digest,
        model=_model(prepared),
        target=TargetInfo(
            name=tools.target.name,
            runtime=tools.target.runtime,
            exporter=tools.exporter.name,
            dtype=dtype_of(prepared),
            summary=tools.target.summary,
            precision=plan.precision,
        ),
        plugins=tuple(PluginInfo.of(p, sum(r.plugin == p.name for r in rewrites)) for p in tools.plugins),
        tokens=Tokens(
            how="Read off the graphs that were exported.",
            per_layer=tokens_per_layer(variants.optimised.program),
            dense_per_layer=tokens_per_layer(variants.dense.program),
        ),
        flops=FlopsSection.of(
            count_flops(variants.dense.program, tools.target.realisations),
            count_flops(variants.optimised.program, tools.target.realisations),
        ),
        size_bytes=SizeBytes.of(
            variants.dense.bytes, variants.optimised.bytes, "Model file and external data on disk."
        ),
        parity=ParitySection.from_result(evidence.parity),
        accuracy=evidence.accuracy,
        latency=evidence.cost.latency,
        memory=evidence.cost.memory,
        load_ms=evidence.cost.load_ms,
        rewrites=rewrites,
        refusals=_refusals(plan),
        notes=(*_notes(prepared, recipe, evidence), *(f"{d.site}: {d.note}" for d in plan.decisions if d.note)),
        timings=Timings(how="Wall clock of each stage of this run.", seconds=dict(evidence.seconds)),
        versions=versions(tools.target),
        machine=machine(),
        delivered=_delivered(prepared, variants),
        lowering=Lowering.of(
            variants.forecast, variants.optimised.exported.delegation, tools.target.proof, tools.target.verified_by
        ),
        preprocessing=recipe.eval.preprocessing or prepared.model.preprocessing,
        recipe=recipe.model_copy(update={"output": None}).model_dump(mode="json"),
    )


def _rewrites(plan: Plan, weights: Weights | None) -> tuple[Rewritten, ...]:
    reduced = [d for d in plan.decisions if d.refusal is None and d.keep < d.tokens]
    places = weights.done.places if weights else ()
    return (
        *(Rewritten(site=p.name, plugin=p.plugin, what=p.what) for p in places if p.refusal is None),
        *(Rewritten(site=d.site, plugin=d.plugin, what=f"{d.tokens} -> {d.keep} tokens") for d in reduced),
    )


def _refusals(plan: Plan) -> tuple[Refusal, ...]:
    return (
        *(Refusal(site=p.name, plugin=p.plugin, reason=p.refusal) for p in plan.weights if p.refusal is not None),
        *(Refusal(site=d.site, plugin=d.plugin, reason=d.refusal) for d in plan.decisions if d.refusal is not None),
    )


def _model(prepared: Prepared) -> ModelInfo:
    model, program = prepared.model, prepared.program
    return ModelInfo(
        name=model.name,
        source=model.source,
        role=prepared.component.role,
        parameters=sum(p.numel() for p in program.exported.parameters()),
        licence=model.licence,
        labels=len(model.labels),
    )


def _notes(prepared: Prepared, recipe: Recipe, evidence: Evidence) -> tuple[str, ...]:
    """What a person should know before anything else."""
    notes, fixed = [*prepared.model.notes, *prepared.plan.notes], fixed_batch(prepared)
    if not evidence.parity.executed:
        notes.insert(0, "NOT PROVEN: the file was not executed. Run its vectors on the device before you ship it.")
    elif not evidence.parity.passed:
        notes.insert(0, "Parity FAILED. This file was delivered because the run allowed it (parity.allow_failure).")
    if fixed and recipe.bench.enabled and set(recipe.bench.batches) != {fixed}:
        notes.append(f"The file takes batches of {fixed} only, so latency is measured at that size.")
    if warning := over_budget(prepared.tools.target, evidence.variants.optimised.bytes):
        notes.append(warning)
    if evidence.weights:
        notes += evidence.weights.done.notes
        notes.append(size_note(evidence.variants.optimised, dtype_of(prepared)))
        notes.append(f"Weights were calibrated {evidence.weights.how}.")
    elif evidence.calibrated:
        notes.append(f"Ranges of activations were calibrated {evidence.calibrated}.")
    if not prepared.model.source:
        notes.append("The model was given in memory: recipe.yaml replays from Python, with the model given again.")
    return tuple(notes)


def over_budget(target: Target, size: int) -> str:
    """A warning where files of ``size`` bytes exceed what one model may take on a target; else empty."""
    if target.memory_budget_mb is None or size <= target.memory_budget_mb << 20:
        return ""
    known = f" ({target.memory_source})" if target.memory_source else ""
    return (
        f"TOO LARGE for {target.name}: the files take {size / 2**20:,.1f} MiB before anything is computed, and a model "
        f"may take {target.memory_budget_mb:,} MiB there{known}. It may not load."
    )


def _delivered(prepared: Prepared, variants: Variants) -> Delivered:
    exported, program = variants.optimised.exported, variants.optimised.program
    return Delivered(
        entry=exported.entry.name,
        files=tuple(path.name for path in exported.files),
        inputs=tuple(_io(s) for s in delivered(prepared, program.inputs)),
        outputs=tuple(_io(s) for s in delivered(prepared, program.outputs)),
    )


def _io(spec: TensorSpec) -> Io:
    return Io(name=spec.name, shape=spec.shape, dtype=spec.dtype)
