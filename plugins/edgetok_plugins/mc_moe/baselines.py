"""Other ways to spend the same bits, which an allocation has to beat."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from edgetok_plugins.mc_moe.calibrate import Statistics

Widths = Mapping[int, Sequence[int]]
"""By layer, the width of each expert."""


def uniform(widths: Widths, bits: int) -> dict[int, list[int]]:
    """The same width for every expert of the layers in ``widths``."""
    return {layer: [bits] * len(given) for layer, given in widths.items()}


def shuffled(widths: Widths, seed: int) -> dict[int, list[int]]:
    """In each layer the same widths, given to experts at random."""
    chance = random.Random(seed)
    return {layer: chance.sample(list(given), len(given)) for layer, given in sorted(widths.items())}


def by_frequency(widths: Widths, statistics: Mapping[int, Statistics]) -> dict[int, list[int]]:
    """In each layer the same widths, the widest to the experts that are chosen most often."""
    found = {}
    for layer, given in widths.items():
        frequency = statistics[layer].frequency
        order = sorted(range(len(given)), key=lambda expert: (-frequency[expert], expert))
        ranked = dict(zip(order, sorted(given, reverse=True), strict=True))
        found[layer] = [ranked[expert] for expert in range(len(given))]
    return found
