"""Schedules from weights: how much each layer removes, scaled so that the whole meets a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from edgetok.tune.setting import Candidate, Setting

C = TypeVar("C")
STEPS = 24


def rounded(amounts: Sequence[float]) -> tuple[int, ...]:
    """Whole numbers whose running sums are those of ``amounts``, rounded: no layer's fraction is lost."""
    out, total, given = [], 0.0, 0
    for amount in amounts:
        total += max(amount, 0.0)
        out.append(round(total) - given)
        given = round(total)
    return tuple(out)


def to_budget(
    weights: Sequence[float],
    budget: float,
    most: int,
    make: Callable[[tuple[int, ...]], C],
    cost: Callable[[C], float],
) -> C:
    """The schedule proportional to ``weights`` that removes as little as it may and costs at most ``budget``.

    Args:
        weights: of the layers, at least 0.
        budget: what ``cost`` may be.
        most: the most that a layer can remove.
        make: a schedule as a candidate.
        cost: of a candidate; falls as more is removed.

    Returns:
        The candidate; where no scale meets the budget the one that removes most.
    """
    top = max(weights, default=0.0)
    shape = [w / top for w in weights] if top > 0 else [0.0 for _ in weights]
    low, high = 0.0, float(most)
    best = make(rounded([high * w for w in shape]))
    if cost(best) > budget:
        return best
    for _ in range(STEPS):
        middle = (low + high) / 2
        found = make(rounded([middle * w for w in shape]))
        if cost(found) <= budget:
            best, high = found, middle
        else:
            low = middle
        if (high - low) * len(shape) < 0.5:
            break
    return best


def scaled(
    setting: Setting, weights: Sequence[float], budget: float, kind: str, options: Mapping[str, Any] | None = None
) -> Candidate:
    """The candidate whose schedule is proportional to ``weights`` and costs at most ``budget``."""
    found = to_budget(
        weights,
        budget,
        setting.mergeable,
        lambda removed: setting.candidate(removed, options),
        lambda candidate: setting.cost(candidate, kind),
    )
    return setting.settled(found)


def stretched(values: Sequence[float], count: int) -> list[float]:
    """``count`` values on the line through evenly spaced ``values``, ends included."""
    if count == 1:
        return [sum(values) / len(values)]
    places = [i * (len(values) - 1) / (count - 1) for i in range(count)]
    pairs = [(min(int(at), max(len(values) - 2, 0)), at) for at in places]
    return [values[i] + (at - i) * (values[min(i + 1, len(values) - 1)] - values[i]) for i, at in pairs]


def linear(layers: int, start: float, stop: float) -> list[float]:
    """Weights that change linearly from the first layer to the last."""
    return [start + (stop - start) * i / max(layers - 1, 1) for i in range(layers)]
