"""Schedules: how many tokens each layer merges, and what reductions that have one share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field

from edgetok.plugin import TokenReduction

if TYPE_CHECKING:
    from edgetok.graph.site import Site

Count = Annotated[int, Field(ge=0)]


def is_inflected(r: Sequence[float]) -> bool:
    """Whether a pair is ``(r, inflection)``: its second number is written as a fraction."""
    return len(r) == 2 and isinstance(r[1], float)


def _as_tuple(r: object) -> object:
    return tuple(r) if isinstance(r, list) else r


def _sane(r: int | tuple[float, ...]) -> int | tuple[float, ...]:
    if isinstance(r, tuple) and is_inflected(r) and not -1.0 <= r[1] <= 1.0:
        raise ValueError(f"inflection must lie between -1 and 1, got {r[1]}")
    return r


Schedule = Annotated[Count | tuple[Count, float] | tuple[Count, ...], BeforeValidator(_as_tuple), AfterValidator(_sane)]
"""One number for all layers, ``(r, inflection)``, or one number per layer: the type of an option."""


def per_layer(r: int | tuple[float, ...], layers: int) -> tuple[int, ...]:
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


def _linear(r: int, inflection: float, layers: int) -> tuple[int, ...]:
    low = int(r * (1.0 - inflection))
    slope = (2 * r - 2 * low) / max(layers - 1, 1)
    return tuple(int(low + slope * layer) for layer in range(layers))


class Scheduled(TokenReduction):
    """A reduction that merges ``r`` tokens per layer, and at most ``cap`` of them."""

    r: Schedule = Field(
        default=8,
        description="Tokens to merge per layer: a number, one per layer [8,8,4], or (r, inflection) as (8,-1.0). "
        "At most half of the mergeable tokens go in one layer; more is capped, and the plan says so.",
        json_schema_extra={"search": {"low": 0, "high": 32}},
    )

    def cap(self, site: Site, tokens: int) -> int:
        """The most that one layer can merge: half of the mergeable tokens."""
        return site.mergeable(tokens) // 2

    def keep(self, site: Site, tokens: int) -> int:
        """All but r, and never fewer than the cap leaves."""
        return tokens - min(self.wanted(site), self.cap(site, tokens))

    def remark(self, site: Site, tokens: int) -> str | None:
        """Say where r was capped."""
        wanted, cap = self.wanted(site), self.cap(site, tokens)
        return f"r = {wanted} is capped at {cap}, half of the mergeable tokens" if wanted > cap else None

    def with_schedule(self, removed: Sequence[int]) -> Self:
        """The same with one number per layer."""
        return type(self).model_validate({**self.model_dump(), "r": tuple(removed)})

    def wanted(self, site: Site) -> int:
        """What the schedule asks for at a site."""
        return per_layer(self.r, site.count)[site.index]
