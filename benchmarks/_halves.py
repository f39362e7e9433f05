"""Chosen on one half of the pictures, reported on the other, then the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetok.tune.confirm import drop, kl_ratio
from edgetok.tune.judge import Losses
from edgetok.tune.result import Interval

RESAMPLES = 4000


@dataclass(frozen=True)
class Trial:
    """A method at a budget, and its losses on all pictures, in their order."""

    method: str
    losses: Losses


def halves(samples: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pictures at even and at odd places."""
    places = np.arange(samples)
    return places[0::2], places[1::2]


def part(losses: Losses, picks: NDArray[np.int64]) -> Losses:
    """The losses on some of the pictures."""
    dense, right = losses.dense_right, losses.right
    assert dense is not None
    assert right is not None
    return Losses(losses.kl[picks], losses.agree[picks], dense[picks], right[picks])


def joined(first: Losses, second: Losses) -> Losses:
    """The losses on two sets of pictures together."""
    assert first.dense_right is not None
    assert second.dense_right is not None
    assert first.right is not None
    assert second.right is not None
    return Losses(
        np.concatenate([first.kl, second.kl]),
        np.concatenate([first.agree, second.agree]),
        np.concatenate([first.dense_right, second.dense_right]),
        np.concatenate([first.right, second.right]),
    )


def mean_kl(losses: Losses, seed: int = 0) -> Interval:
    """The mean with its 95 % bootstrap interval; the same pictures are drawn for every method."""
    picks = np.random.default_rng(seed).integers(0, len(losses.kl), (RESAMPLES, len(losses.kl)))
    low, high = np.percentile(losses.kl[picks].mean(1), [2.5, 97.5])
    return Interval(value=float(losses.kl.mean()), low=float(low), high=float(high))


def figures(losses: Losses, baseline: Losses | None = None) -> dict[str, Any]:
    """KL, agreement in per cent, drop in points; against a baseline the ratio of mean KLs, on the same pictures."""
    found = drop(losses)
    assert found is not None
    stated: dict[str, Any] = {
        "samples": len(losses.kl),
        "kl": mean_kl(losses).model_dump(),
        "agreement": 100.0 * float(losses.agree.mean()),
        "drop": found.model_dump(),
    }
    if baseline is not None:
        ratio = kl_ratio(losses.kl, baseline.kl)
        assert ratio is not None, "the baseline equals dense"
        stated["ratio"] = ratio.model_dump()
    return stated


def crossed(trials: Sequence[Trial], baseline: Losses) -> dict[str, Any]:
    """Each half's choice with its figures on the other half, and both together.

    No picture took part in the choice that it judges. It may have in the making of what was chosen among: constants
    of contenders were written down after looking at all pictures.
    """
    first, second = halves(len(baseline.kl))
    folds, reported = [], []
    for chosen_on, judged_on in ((first, second), (second, first)):
        best = min(trials, key=lambda trial: float(trial.losses.kl[chosen_on].mean()))
        reported.append((part(best.losses, judged_on), part(baseline, judged_on)))
        folds.append({"method": best.method, "chosen on": len(chosen_on), **figures(*reported[-1])})
    both = [joined(*pair) for pair in zip(*reported, strict=True)]
    return {"folds": folds, "both": figures(*both)}
