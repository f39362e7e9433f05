"""What schedules are chosen on and what they are judged on: never the same samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.errors import BadCommand, DatasetNotFound
from edgetok.session.apart import require_apart
from edgetok.session.evidence import find_data

if TYPE_CHECKING:
    from edgetok.recipe import Recipe
    from edgetok.session.inputs import Fitted
    from edgetok.session.prepare import Prepared

LEAST = 4
"""Fewer samples say nothing."""


def find_samples(prepared: Prepared, recipe: Recipe, wanted: int) -> tuple[Fitted, bool, Fitted | None, str]:
    """Samples to tune on, whether they have labels, samples to evaluate on, and in words where both are from.

    Args:
        prepared: the model.
        recipe: ``calibration.data`` is tuned on and ``eval.data`` evaluated on; without the first, tuning takes the
            first samples of the second and leaves at least half of them.
        wanted: how many samples to tune on, at most.

    Raises:
        BadCommand: there is no data, or the two share samples.
        DatasetNotFound: it is missing, malformed or too small.
        UnsupportedModel: the model gives no class scores.
    """
    evaluation = find_data(prepared, recipe, None)
    if recipe.calibration.data is not None:
        tuning, labelled = _given(prepared, recipe)
        tuning = tuning.part(0, min(wanted, len(tuning)))
        if evaluation is not None:
            require_apart(tuning, evaluation, "tuning")
        return tuning, labelled, evaluation, f"{len(tuning)} samples of {tuning.name}"
    if evaluation is None:
        raise BadCommand("there is no data to tune on", hint="--calibrate DATA, --eval DATA or both")
    n = min(wanted, len(evaluation) // 2)
    if n < LEAST:
        raise DatasetNotFound(
            f"{evaluation.name} is too small to tune and to evaluate on.", why=f"it has {len(evaluation)} samples"
        )
    how = f"the first {n} samples of {evaluation.name}, which are not evaluated"
    return evaluation.part(0, n), True, evaluation.part(n), how


def _given(prepared: Prepared, recipe: Recipe) -> tuple[Fitted, bool]:
    """The tuning data with labels where it has any."""
    settings = recipe.eval.model_copy(update={"data": recipe.calibration.data, "limit": None})
    recipe = recipe.model_copy(update={"eval": settings})
    try:
        found, labelled = find_data(prepared, recipe, None), True
    except DatasetNotFound:
        found, labelled = find_data(prepared, recipe, None, labelled=False), False
    assert found is not None
    return found, labelled
