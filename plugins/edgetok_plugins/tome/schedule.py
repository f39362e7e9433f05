"""Token Merging's schedules: how many tokens each layer merges."""

from __future__ import annotations

from collections.abc import Sequence

Schedule = int | tuple[int, float] | tuple[int, ...]
"""One number for all layers, ``(r, inflection)``, or one number per layer."""


def per_layer(r: Schedule, layers: int) -> tuple[int, ...]:
    """The number of tokens to merge in each of ``layers`` layers.

    ``(r, inflection)`` changes linearly from ``r * (1 - inflection)`` to ``2 r - r * (1 - inflection)``, each rounded
    towards zero: -1 decreases from 2r to 0, 1 increases from 0 to 2r, 0 is constant. A list shorter than the model is
    filled up with 0.
    """
    if isinstance(r, int):
        return (r,) * layers
    if is_inflected(r):
        return _linear(int(r[0]), float(r[1]), layers)
    given = tuple(int(n) for n in r)[:layers]
    return given + (0,) * (layers - len(given))


def is_inflected(r: Sequence[float]) -> bool:
    """Whether a pair is ``(r, inflection)``: its second number is written as a fraction."""
    return len(r) == 2 and isinstance(r[1], float)


def _linear(r: int, inflection: float, layers: int) -> tuple[int, ...]:
    low = int(r * (1.0 - inflection))
    slope = (2 * r - 2 * low) / max(layers - 1, 1)
    return tuple(int(low + slope * layer) for layer in range(layers))
