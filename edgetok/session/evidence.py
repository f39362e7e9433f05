"""What is measured once both files exist: parity, accuracy, latency, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgetok.report.evidence import Accuracy
from edgetok.session.inputs import batches, seeded
from edgetok.session.variants import load
from edgetok.verify import Delivery, Parity, verify
from edgetok.verify.checkbuild import Toolchain

if TYPE_CHECKING:
    from edgetok.evaluate import Dataset
    from edgetok.recipe import Recipe
    from edgetok.session.clock import Clock
    from edgetok.session.inputs import Arrays
    from edgetok.session.prepare import Prepared
    from edgetok.session.variants import Variants

Samples = Iterable[tuple[Any, int]] | Callable[[], Iterable[tuple[Any, int]]]


def find_data(prepared: Prepared, recipe: Recipe, data: Samples | None) -> Dataset | None:
    """The labelled data that the recipe or the caller names, found before any long work.

    Raises:
        DatasetNotFound: it is missing or malformed.
    """
    spec = data if data is not None else recipe.eval.data
    if spec is None:
        return None
    from edgetok.evaluate import load_dataset

    return load_dataset(
        spec,
        recipe.eval.preprocessing or prepared.model.preprocessing,
        classes=prepared.model.labels,
        input_name=prepared.program.inputs[0].name,
        limit=recipe.eval.limit,
    )


def parity_inputs(
    prepared: Prepared, recipe: Recipe, dataset: Dataset | None
) -> tuple[Arrays, Literal["real", "seeded"]]:
    """Samples to compare on: the dataset's first ones, or generated ones."""
    wanted = recipe.parity.samples
    if dataset is None:
        return seeded(prepared.program, wanted, recipe.parity.seed), "seeded"
    inputs, _ = next(iter(dataset.batches(wanted)))
    names = [spec.name for spec in prepared.program.inputs]
    return {name: np.asarray(inputs[name]) for name in names if name in inputs}, "real"


def check_parity(
    prepared: Prepared,
    recipe: Recipe,
    variants: Variants,
    inputs: Arrays,
    kind: Literal["real", "seeded"],
    scratch: Path,
) -> Parity:
    """The parity gate on the delivered file.

    Raises:
        ParityFailed, DecisionsDiffer: unless the recipe allows failure.
    """
    tools = prepared.tools
    threads = recipe.bench.threads
    toolchain = Toolchain(tools.exporter, tools.target, tools.options, threads)
    size = fixed_batch(prepared) or len(next(iter(inputs.values())))
    return verify(
        Delivery(variants.optimised.program, load(variants.optimised, tools, threads)),
        toolchain,
        batches(inputs, size),
        dense=Delivery(variants.dense.program, load(variants.dense, tools, threads)),
        dtype=dtype_of(prepared),
        role=prepared.component.role,
        inputs=kind,
        allow_failure=recipe.parity.allow_failure,
        scratch=scratch,
    )


def dtype_of(prepared: Prepared) -> Literal["fp32", "fp16"]:
    """What the delivered file computes in."""
    return "fp16" if getattr(prepared.tools.options, "dtype", "fp32") == "fp16" else "fp32"


def fixed_batch(prepared: Prepared) -> int | None:
    """The only batch size that the file takes; ``None`` where any does."""
    batch = getattr(prepared.tools.options, "batch", "dynamic")
    if batch != "dynamic":
        return int(batch)
    if not prepared.program.dynamic:
        return int(next(iter(prepared.program.example.values())).shape[0])
    return None


def measure_accuracy(
    prepared: Prepared, recipe: Recipe, variants: Variants, dataset: Dataset | None, clock: Clock
) -> Accuracy:
    """Task accuracy of both files on the same samples; empty where there are no labelled samples."""
    if dataset is None:
        return Accuracy.not_evaluated()
    from edgetok.evaluate import evaluate

    tools = prepared.tools
    dense, optimised = (load(v, tools, None) for v in (variants.dense, variants.optimised))
    batch = fixed_batch(prepared) or recipe.eval.batch
    found = evaluate(dense, optimised, dataset, batch=batch, progress=clock.progress)
    how = f"Both files run by {tools.target.runtime} on the same {found.n} samples of {dataset.name}."
    return Accuracy.from_result(found, how=how, data=dataset.name)
