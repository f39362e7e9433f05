"""From a plan to a bundle: export, prove, measure, write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgetok.bundle import Vectors
from edgetok.bundle.vectors import write_vectors
from edgetok.recipe_file import dump_recipe
from edgetok.session.evidence import (
    Samples,
    check_parity,
    dtype_of,
    find_data,
    fixed_batch,
    measure_accuracy,
    parity_inputs,
)
from edgetok.session.inputs import batches
from edgetok.session.latency import measure_cost
from edgetok.session.manifest import write_files_manifest
from edgetok.session.reporting import Evidence, make_report
from edgetok.session.variants import build_variants, load
from edgetok.verify import TOLERANCES

if TYPE_CHECKING:
    from edgetok.recipe import Recipe
    from edgetok.report.schema import Report
    from edgetok.session.clock import Clock
    from edgetok.session.inputs import Arrays
    from edgetok.session.prepare import Prepared
    from edgetok.session.variants import Variants

VECTORS = "vectors.safetensors"


def deliver(
    prepared: Prepared, recipe: Recipe, stage: Path, scratch: Path, clock: Clock, data: Samples | None
) -> Report:
    """Fill ``stage`` with a bundle and return its report; ``scratch`` is for files that are not delivered.

    Raises:
        EdgetokError: of any family from find to verify; the caller removes ``stage``.
    """
    dataset = find_data(prepared, recipe, data)
    variants = build_variants(prepared, stage, scratch, clock)
    inputs, kind = parity_inputs(prepared, recipe, dataset)
    with clock.stage("verify"):
        parity = check_parity(prepared, recipe, variants, inputs, kind, scratch)
    with clock.stage("evaluate"):
        accuracy = measure_accuracy(prepared, recipe, variants, dataset, clock)
    with clock.stage("measure"):
        cost = measure_cost(prepared, recipe, variants, inputs, clock)
    evidence = Evidence(variants, parity, accuracy, cost, clock.seconds)
    report = make_report(prepared, recipe, evidence)
    with clock.stage("write"):
        _write(stage, prepared, recipe, report)
        vectors = _write_vectors(stage, prepared, variants, inputs)
        write_files_manifest(stage, prepared, variants, parity, vectors)
    return report


def _write(stage: Path, prepared: Prepared, recipe: Recipe, report: Report) -> None:
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


def _write_vectors(stage: Path, prepared: Prepared, variants: Variants, inputs: Arrays) -> Vectors:
    """Inputs and what the delivered file makes of them, for an app to check itself on its device."""
    runner = load(variants.optimised, prepared.tools, None)
    samples = fixed_batch(prepared) or len(next(iter(inputs.values())))
    first = batches(inputs, samples)[0]
    outputs = runner(first)
    write_vectors(stage / VECTORS, first, outputs)
    rel = TOLERANCES[dtype_of(prepared)].rel
    tolerance = {name: rel * max(float(np.abs(array).max(initial=0.0)), 1e-6) for name, array in outputs.items()}
    return Vectors(
        file=VECTORS, component=prepared.component.name, samples=len(next(iter(first.values()))), tolerance=tolerance
    )
