"""What ranges of activations are found on: data that is given, held out of the evaluation, or generated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetok.errors import DatasetNotFound
from edgetok.session.apart import require_apart
from edgetok.session.evidence import find_data, within_reach
from edgetok.session.inputs import Fitted, Samples, seeded
from edgetok.session.interface import batched, fixed_batch, is_executable
from edgetok.session.weights import weight_plugin

if TYPE_CHECKING:
    from edgetok.recipe import Recipe
    from edgetok.session.inputs import Arrays
    from edgetok.session.prepare import Prepared

BATCH = 8
"""Samples per calibration batch where the file takes any number."""


@dataclass(frozen=True)
class Calibration:
    """Batches to calibrate on, and where they are from, for people; both empty where nothing is calibrated.

    ``data`` is what they were read from, where they are real.
    """

    batches: tuple[Arrays, ...] = ()
    how: str = ""
    data: Fitted | None = None


def find_calibration(prepared: Prepared, recipe: Recipe, dataset: Fitted | None) -> tuple[Calibration, Fitted | None]:
    """The calibration data, and the evaluation data without it.

    Raises:
        BadCommand: samples that are given to calibrate on are evaluated as well.
        DatasetNotFound: it is missing or malformed, or too small to calibrate and evaluate on.
    """
    chosen, weights = prepared.tools.precision, weight_plugin(prepared)
    wanted = max(chosen.samples if chosen else 0, weights.calibration_samples() if weights else 0)
    if not wanted:
        return Calibration(), dataset
    given = _given(prepared, recipe)
    if given is not None:
        n = min(wanted, len(given))
        _require_apart(prepared, recipe, given.part(0, n), dataset)
        return Calibration(_batches(prepared, given.part(0, n)), f"on {n} samples of {given.name}", given), dataset
    if dataset is None:
        made = seeded(prepared.program, -(-wanted // _size(prepared)) * _size(prepared), recipe.calibration.seed)
        how = "on generated inputs, for want of data: real ones (--calibrate) will do better"
        return Calibration(_cut(prepared, made), how), None
    if len(dataset) <= wanted:
        raise DatasetNotFound(
            f"{dataset.name} is too small to calibrate and to evaluate on.",
            why=f"it has {len(dataset)} samples; {wanted} of them would be for calibration",
            hint="Give calibration data of its own: --calibrate DATA.",
        )
    how = f"on the first {wanted} samples of {dataset.name}, which are not evaluated"
    return Calibration(_batches(prepared, dataset.part(0, wanted)), how), dataset.part(wanted)


def _given(prepared: Prepared, recipe: Recipe) -> Fitted | None:
    if recipe.calibration.data is None:
        return None
    settings = recipe.eval.model_copy(update={"data": recipe.calibration.data, "limit": None})
    return find_data(prepared, recipe.model_copy(update={"eval": settings}), None, labelled=False)


def _require_apart(prepared: Prepared, recipe: Recipe, given: Fitted, dataset: Fitted | None) -> None:
    """Of samples that are used only: of whole batches, and of what this target's runtime evaluates."""
    if dataset is None or not is_executable(prepared.tools.target):
        return
    used = len(given) - len(given) % (fixed_batch(prepared) or 1)
    require_apart(given.part(0, used), within_reach(prepared, recipe, dataset)[0], "calibration")


def _size(prepared: Prepared) -> int:
    return fixed_batch(prepared) or BATCH


def _batches(prepared: Prepared, data: Fitted) -> tuple[Arrays, ...]:
    """Whole batches only, where the file takes no others."""
    size = _size(prepared)
    found = [arrays for arrays, labels in data.batches(size) if len(labels) == size or fixed_batch(prepared) is None]
    return tuple(found)


def _cut(prepared: Prepared, made: Arrays) -> tuple[Arrays, ...]:
    return tuple(Samples(made, batched(prepared.program)).batches(_size(prepared)))
