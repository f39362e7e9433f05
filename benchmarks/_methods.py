"""The methods compared, each as programs of growing strength, of which the one at the budget is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from edgetok.plugin import TokenReduction
from edgetok.schedule import Scheduled
from edgetok.tune.schedule import rounded
from edgetok_plugins.diffrate import DiffRate
from edgetok_plugins.expedit import Expedit
from edgetok_plugins.kth import Kth
from edgetok_plugins.local_merge import LocalMerge
from edgetok_plugins.pitome import PiToMe
from edgetok_plugins.tofu import ToFu
from edgetok_plugins.token_transform import TokenTransform
from edgetok_plugins.tome import ToMe

if TYPE_CHECKING:
    from _vit_tiny import Subject

Weights = Callable[[int], Sequence[float]]
STRENGTHS = tuple(0.05 * n for n in range(1, 1200))


@dataclass(frozen=True)
class Method:
    """A row of the comparison.

    Attributes:
        name: as tables show it.
        ladder: the programs of a subject, in any order.
        key: says what the ladder is made of.
    """

    name: str
    ladder: Callable[[Subject], Iterable[TokenReduction]]
    key: str


def constant(layers: int) -> Sequence[float]:
    """The same in every layer."""
    return [1.0] * layers


def from_layer(first: int) -> Weights:
    """Nothing before layer ``first``, counted from 0, then the same everywhere."""
    return lambda layers: [float(i >= first) for i in range(layers)]


def linear(start: float, stop: float) -> Weights:
    """From the first layer to the last in equal steps."""
    return lambda layers: [start + (stop - start) * i / (layers - 1) for i in range(layers)]


def scheduled(name: str, plugin: Scheduled, weights: Weights = constant) -> Method:
    """A method with a number per layer, proportional to ``weights``."""

    def ladder(subject: Subject) -> Iterator[TokenReduction]:
        shape = weights(len(subject.sites))
        for strength in STRENGTHS:
            yield plugin.with_schedule(rounded([strength * weight for weight in shape]))

    return Method(name, ladder, f"{plugin!r} {list(weights(12))}")


def diffrate(name: str, plugin: DiffRate, pruned: float, weights: Weights = constant) -> Method:
    """Of what goes in each layer, the share ``pruned`` is pruned and the rest merged."""

    def ladder(subject: Subject) -> Iterator[TokenReduction]:
        shape = weights(len(subject.sites))
        for strength in STRENGTHS:
            parts = (rounded([share * strength * weight for weight in shape]) for share in (pruned, 1 - pruned))
            yield plugin.model_copy(update=dict(zip(("prune", "merge"), parts, strict=True)))

    return Method(name, ladder, f"{plugin!r} {pruned} {list(weights(12))}")


def kth(subject: Subject) -> Iterator[TokenReduction]:
    """One k-th of the tokens after one layer or two."""
    places = range(len(subject.sites))
    for k in (2, 3, 4):
        for layers in [*combinations(places, 1), *combinations(places, 2)]:
            yield Kth(k=k, layers=layers)


def expedit(subject: Subject) -> Iterator[TokenReduction]:
    """Every smaller grid, after one of the layers about a quarter of the depth."""
    grid = subject.sites[0].grid
    assert grid is not None, "its tokens are a grid"
    for layer in range(1, max(len(subject.sites) // 2, 2)):
        for side in range(3, grid[0]):
            yield Expedit(side=side / grid[0], layer=layer)


BASELINE = scheduled("tome, constant r", ToMe())
METHODS = (
    BASELINE,
    scheduled("tome, decreasing r", ToMe(), linear(2.0, 0.0)),
    scheduled("tome, increasing r", ToMe(), linear(0.0, 2.0)),
    scheduled("tome, from 3rd layer", ToMe(), from_layer(2)),
    scheduled("tome, from 3rd layer, protected", ToMe(protect=0.02), from_layer(2)),
    scheduled("pitome", PiToMe()),
    scheduled("pitome, as its paper matches", PiToMe(matching="energy")),
    scheduled("tofu", ToFu()),
    scheduled("local-merge, 2 tiles", LocalMerge(tile=98)),
    diffrate("diffrate, half pruned", DiffRate(), 0.5),
    scheduled("token-transform", TokenTransform()),
    Method("kth", kth, "kth"),
    Method("expedit", expedit, "expedit"),
)
"""Every method that suits classification, over all budgets."""
CONTENDERS = (
    scheduled("tome, from 3rd layer, protect=0.05", ToMe(protect=0.05), from_layer(2)),
    scheduled("tome, from 4th layer, protect=0.02", ToMe(protect=0.02), from_layer(3)),
    scheduled("pitome, from 3rd layer", PiToMe(), from_layer(2)),
    scheduled("tofu, from 3rd layer", ToFu(), from_layer(2)),
    diffrate("diffrate, a quarter pruned, from 3rd layer", DiffRate(), 0.25, from_layer(2)),
)
"""More options of the same methods, at the budgets where methods are chosen on halves."""
