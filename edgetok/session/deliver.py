"""From a plan to a bundle: export, prove, measure, write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgetok.bundle import Vectors
from edgetok.bundle.vectors import write_vectors
from edgetok.recipe_file import dump_recipe
from edgetok.session.calibration import find_calibration
from edgetok.session.evidence import Pairs, check_parity, find_data, measure_accuracy, parity_samples
from edgetok.session.fidelity import check_capture
from edgetok.session.interface import arithmetic_of, batched, fixed_batch, is_executable
from edgetok.session.latency import measure_cost
from edgetok.session.manifest import write_files_manifest
from edgetok.session.reporting import Evidence, make_report
from edgetok.session.variants import build_variants
from edgetok.session.weights import rewrite_weights
from edgetok.verify import TOLERANCES

if TYPE_CHECKING:
    from edgetok.recipe import Recipe
    from edgetok.report.schema import Report
    from edgetok.session.clock import Clock
    from edgetok.session.inputs import Arrays, Samples
    from edgetok.session.prepare import Prepared
    from edgetok.session.variants import Variants

VECTORS = "vectors.safetensors"
_LARGEST_REL = 0.1
"""Of the peak: what an app's runtime may be off on the vectors, however coarse the file's numbers."""


def deliver(prepared: Prepared, recipe: Recipe, stage: Path, scratch: Path, clock: Clock, data: Pairs | None) -> Report:
    """Fill ``stage`` with a bundle and return its report; ``scratch`` is for files that are not delivered.

    Raises:
        EdgetokError: of any family from find to verify; the caller removes ``stage``.
    """
    dataset = find_data(prepared, recipe, data)
    calibration, dataset = find_calibration(prepared, recipe, dataset)
    samples, kind = parity_samples(prepared, recipe, dataset or calibration.data)
    weights = rewrite_weights(prepared, calibration.batches, calibration.how, scratch, clock)
    variants = build_variants(prepared, stage, scratch, clock, calibration.batches, weights)
    with clock.stage("verify"):
        captured = check_capture(prepared, variants.dense.program)
        parity = check_parity(prepared, recipe, variants, samples, kind, scratch)
        parity = parity.model_copy(update={"how": f"{parity.how} {captured}"})
    if parity.executed and not parity.passed:
        clock.progress.log("PARITY FAILED: this file does not compute what it should; delivered because you said so.")
    with clock.stage("evaluate"):
        accuracy = measure_accuracy(prepared, recipe, variants, dataset, clock)
    with clock.stage("measure"):
        cost = measure_cost(prepared, recipe, variants, samples, clock)
    report = make_report(
        prepared, recipe, Evidence(variants, parity, accuracy, cost, clock.seconds, calibration.how, weights)
    )
    with clock.stage("write"):
        _write(stage, recipe, report)
        vectors = _write_vectors(stage, prepared, recipe, variants, samples)
        write_files_manifest(stage, prepared, variants, parity, vectors)
    return report


def _write(stage: Path, recipe: Recipe, report: Report) -> None:
    from edgetok.report.card import render_card
    from edgetok.report.html import render_html

    portable = recipe.model_copy(update={"output": None})
    texts = {
        "recipe.yaml": dump_recipe(portable),
        "report.json": report.to_json(),
        "report.html": render_html(report),
        "README.md": render_card(report),
    }
    for name, text in texts.items():
        (stage / name).write_text(text, encoding="utf-8", newline="\n")


def _write_vectors(stage: Path, prepared: Prepared, recipe: Recipe, variants: Variants, samples: Samples) -> Vectors:
    """Inputs and what the delivered file makes of them (its program in torch, where the file cannot run here)."""
    first = samples.batches(fixed_batch(prepared) or len(samples))[0]
    outputs = expected(prepared, recipe, variants, first)
    write_vectors(stage / VECTORS, first, outputs)
    rel = min(TOLERANCES[arithmetic_of(prepared)].rel, _LARGEST_REL)
    tolerance = {name: rel * max(_peak(array), 1e-6) for name, array in outputs.items()}
    rows = batched(prepared.program)
    count = next((len(array) for name, array in first.items() if name in rows), 1)
    return Vectors(file=VECTORS, component=prepared.component.name, samples=count, tolerance=tolerance)


def expected(prepared: Prepared, recipe: Recipe, variants: Variants, inputs: Arrays) -> dict[str, np.ndarray]:
    """What the delivered file gives, or its program where no runtime is here."""
    if is_executable(prepared.tools.target):
        return variants.optimised.runner(recipe.bench.threads)(inputs)
    from edgetok.verify.replay import replay

    return replay(variants.optimised.program, inputs, {}).outputs


def _peak(array: np.ndarray) -> float:
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
