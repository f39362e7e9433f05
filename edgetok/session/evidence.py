"""What is measured once both files exist: parity and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgetok.errors import DatasetNotFound, UnsupportedModel
from edgetok.report.evidence import Accuracy
from edgetok.session.inputs import Fitted, Samples, seeded
from edgetok.session.interface import arithmetic_of, batched, delivered, fixed_batch, is_executable, rounds_inputs
from edgetok.session.weights import weight_plugin
from edgetok.verify import Delivery, Parity, verify
from edgetok.verify.checkbuild import Toolchain

if TYPE_CHECKING:
    from edgetok.evaluate import TokenWindows
    from edgetok.graph import TensorSpec
    from edgetok.recipe import Recipe
    from edgetok.session.clock import Clock
    from edgetok.session.inputs import Arrays
    from edgetok.session.prepare import Prepared
    from edgetok.session.variants import Variants

Pairs = Iterable[tuple[Any, int]] | Callable[[], Iterable[tuple[Any, int]]]
_UNPROVEN = "Not executed: no runtime of this target is on this machine; the file was {proof} only."
_UNBOUND = (
    " No dense file rounds its inputs as this one does, so that these bounds only tell a result from noise: accuracy "
    "and perplexity say what rounding costs."
)
Kind = Literal["real", "seeded"]


def find_data(prepared: Prepared, recipe: Recipe, data: Pairs | None, *, labelled: bool = True) -> Fitted | None:
    """The labelled data that the recipe or the caller names, found before any long work.

    Raises:
        DatasetNotFound: it is missing or malformed, or a label is no class of the model.
        UnsupportedModel: the model gives no class scores to evaluate.
    """
    spec = data if data is not None else recipe.eval.data
    if spec is None:
        return None
    from edgetok.evaluate import TokenWindows, load_dataset
    from edgetok.evaluate.tokens import SUFFIX

    text = isinstance(spec, str | Path) and str(spec).endswith(SUFFIX)
    classes = _classes(prepared.program.outputs) if labelled and not text else 0
    dataset = load_dataset(
        spec,
        recipe.eval.preprocessing or prepared.model.preprocessing,
        classes=prepared.model.labels,
        input_name=prepared.program.inputs[0].name,
        limit=recipe.eval.limit,
        labelled=labelled,
    )
    if isinstance(dataset, TokenWindows):
        _check_tokens(dataset, prepared.program.outputs)
        return Fitted(dataset, delivered(prepared, prepared.program.inputs))
    odd = [label for label in getattr(dataset, "labels", ()) if label >= classes]
    if labelled and odd:
        raise DatasetNotFound(
            f"The labels of {dataset.name} do not fit the model.",
            why=f"class {max(odd)}; the model has {classes}, counted from 0",
            hint="Labels are indices into the model's own classes.",
        )
    return Fitted(dataset, delivered(prepared, prepared.program.inputs))


def _classes(outputs: tuple[TensorSpec, ...]) -> int:
    scores = next((spec for spec in outputs if spec.name == "logits"), outputs[0])
    if len(scores.shape) != 2 or not isinstance(scores.shape[1], int):
        raise UnsupportedModel(
            f"Output {scores.name!r} is no class scores, so accuracy cannot be evaluated.",
            why=f"its shape is {scores.shape}",
            hint="Evaluate classifiers and language models here; other tasks with your own code on the bundle.",
        )
    return scores.shape[1]


def _check_tokens(windows: TokenWindows, outputs: tuple[TensorSpec, ...]) -> None:
    scores = next((spec for spec in outputs if spec.name == "logits"), outputs[0])
    vocabulary = scores.shape[-1]
    if len(scores.shape) != 3 or not isinstance(vocabulary, int):
        raise UnsupportedModel(
            f"Output {scores.name!r} is no scores of the next token, so perplexity cannot be evaluated.",
            why=f"its shape is {scores.shape}",
            hint="A file of tokens is for language models; give pictures or samples with labels.",
        )
    if windows.largest >= vocabulary:
        raise DatasetNotFound(
            f"The tokens of {windows.name} are not the model's.",
            why=f"id {windows.largest}; the model has {vocabulary}, counted from 0",
            hint="Make the file with the model's own tokenizer.",
        )


def parity_samples(prepared: Prepared, recipe: Recipe, dataset: Fitted | None) -> tuple[Samples, Kind]:
    """What to compare on: the dataset's first samples, or generated ones; whole batches where their size is fixed."""
    fixed, wanted = fixed_batch(prepared) or 1, recipe.parity.samples
    wanted = -(-wanted // fixed) * fixed
    rows = batched(prepared.program)
    if dataset is not None:
        arrays, _ = next(iter(dataset.batches(wanted)))
        return Samples(arrays, rows), "real"
    made = seeded(prepared.program, wanted, recipe.parity.seed)
    specs = {spec.name: spec.dtype for spec in delivered(prepared, prepared.program.inputs)}
    return Samples({name: array.astype(specs[name], copy=False) for name, array in made.items()}, rows), "seeded"


def check_parity(
    prepared: Prepared, recipe: Recipe, variants: Variants, samples: Samples, kind: Kind, scratch: Path
) -> Parity:
    """The parity gate on the delivered file.

    Raises:
        ParityFailed, DecisionsDiffer: unless the recipe allows failure.
    """
    if not is_executable(prepared.tools.target):
        return Parity.unproven(_UNPROVEN.format(proof=prepared.tools.target.proof), arithmetic_of(prepared))
    tools, threads = prepared.tools, recipe.bench.threads
    unlike = rounds_inputs(prepared) and weight_plugin(prepared) is not None
    like = None if unlike else variants.like_dense
    parity = verify(
        Delivery(variants.optimised.program, variants.optimised.runner(threads)),
        Toolchain(tools.exporter, tools.target, tools.options, threads),
        _batches(prepared, samples),
        dense=Delivery(like.program, like.runner(threads), like.exported.exposed) if like else None,
        dtype=arithmetic_of(prepared),
        role=prepared.component.role,
        inputs=kind,
        allow_failure=recipe.parity.allow_failure,
        scratch=scratch,
    )
    return parity.model_copy(update={"how": parity.how + _UNBOUND}) if unlike else parity


def _batches(prepared: Prepared, samples: Samples) -> list[Arrays]:
    """All samples in one batch, and the first one alone where the batch size is free: apps mostly run one."""
    fixed = fixed_batch(prepared)
    every = samples.batches(fixed or len(samples))
    return every if fixed or len(samples) == 1 else [*every, samples.filled(1)]


def measure_accuracy(
    prepared: Prepared, recipe: Recipe, variants: Variants, dataset: Fitted | None, clock: Clock
) -> Accuracy:
    """Task accuracy of both files on the same samples, with all threads; empty where there are no labelled samples."""
    if dataset is None:
        return Accuracy.not_evaluated()
    if not is_executable(prepared.tools.target):
        return Accuracy.not_evaluated(f"Not evaluated: here the file is {prepared.tools.target.proof}, not executed.")
    from edgetok.evaluate import evaluate

    dataset, remark = within_reach(prepared, recipe, dataset)
    dense, optimised = (v.runner(None) for v in (variants.dense, variants.optimised))
    batch = fixed_batch(prepared) or recipe.eval.batch
    found = evaluate(dense, optimised, dataset, batch=batch, progress=clock.progress)
    target = prepared.tools.target
    by = target.verified_by or f"run by {target.runtime}"
    how = f"Both files on the same {found.n} samples of {dataset.name}: {by}.{remark}"
    return Accuracy.from_result(found, how=how, data=dataset.name)


def within_reach(prepared: Prepared, recipe: Recipe, dataset: Fitted) -> tuple[Fitted, str]:
    """What is evaluated and a remark on it: the beginning alone, where a slow simulator would take hours.

    A limit that the recipe sets is not cut.
    """
    most = prepared.tools.target.samples
    if most is None or recipe.eval.limit is not None or len(dataset) <= most:
        return dataset, ""
    said = f" These are the first of {len(dataset)}, as simulating is slow: eval.limit (--limit) sets another number."
    return dataset.part(0, most), said
