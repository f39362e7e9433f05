"""Proportional attention as an option, for the reductions that work with it and without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from edgetok.plugin import TokenReduction

PropAttn = Annotated[bool, Field(description="Proportional attention: add log size to attention scores.")]
"""The type of the option ``prop_attn``; the default is each method's own."""


class Proportional(TokenReduction):
    """A reduction that says by ``prop_attn`` whether later attention weighs tokens by size.

    It declares the option among its others: ``prop_attn: PropAttn = True``.
    """

    if TYPE_CHECKING:
        prop_attn: bool

    @property
    def proportional(self) -> bool:  # type: ignore[override]
        """Whether attention weighs tokens by size."""
        return self.prop_attn
