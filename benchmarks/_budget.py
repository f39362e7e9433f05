"""The options of a method that save a given share of the FLOPs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from _vit_tiny import Subject

from edgetok.plugin import TokenReduction

NEAR = 0.5
"""Per cent of the dense FLOPs by which two programs may differ and still count as equally costly."""

INSERTED = 0.3
"""Per cent of the dense FLOPs that methods insert, as a first guess."""

Ladder = Callable[[Subject], Iterable[TokenReduction]]


@dataclass(frozen=True)
class Fitted:
    """A method's options at a budget.

    Attributes:
        plugin: with its options.
        saved: per cent of the dense FLOPs, what it inserts included.
    """

    plugin: TokenReduction
    saved: float


def at_budget(subject: Subject, ladder: Ladder, goal: float) -> Fitted:
    """The rung of a ladder that saves nearest to ``goal`` per cent; what it inserts is counted, then allowed for."""
    rungs = {subject.tokens(plugin): plugin for plugin in ladder(subject)}
    estimates = {counts: subject.estimate(plugin) for counts, plugin in rungs.items()}

    def nearest(wanted: float) -> TokenReduction:
        return rungs[min(estimates, key=lambda counts: abs(estimates[counts] - wanted))]

    likely = nearest(goal + INSERTED)
    first = Fitted(likely, subject.flops_saved(likely))
    second = nearest(goal + subject.estimate(first.plugin) - first.saved)
    if second == first.plugin:
        return first
    return min(first, Fitted(second, subject.flops_saved(second)), key=lambda found: abs(found.saved - goal))
