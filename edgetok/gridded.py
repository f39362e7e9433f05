"""What reductions share that act on large grids of tokens only, as those for image diffusion do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from edgetok.proportional import Proportional

if TYPE_CHECKING:
    from edgetok.graph.site import Site

Side = Annotated[int, Field(ge=1)]
Grid = Annotated[
    tuple[Side, Side] | None,
    Field(description="Rows and columns of the tokens, as [64,64], for models that do not show them."),
]
"""The type of the option ``grid``; None unless given."""
MinTokens = Annotated[
    int, Field(ge=1, description="Attentions over fewer tokens than this, text aside, are left alone.")
]
"""The type of the option ``min_tokens``; the default is each method's own."""


class Gridded(Proportional):
    """A reduction of tokens that are a grid, at attentions that see many of them.

    It declares three options among its others: ``min_tokens: MinTokens = 1024``, ``grid: Grid = None`` and
    ``prop_attn: PropAttn = False``.
    """

    if TYPE_CHECKING:
        min_tokens: int
        grid: tuple[int, int] | None

    def refuses(self, site: Site) -> str | None:
        """Tokens must be a grid that is known, and at least ``min_tokens``."""
        reason, free = super().refuses(site), site.mergeable(site.tokens)
        if reason is not None:
            return reason
        if free < self.min_tokens:
            return f"its {free} tokens are fewer than min_tokens = {self.min_tokens}"
        grid = site.grid or self.grid
        if grid is None or grid[0] * grid[1] != free:
            return f"its {free} tokens are not known to be a grid; if they are, say grid=[rows,columns]"
        return None

    def grid_of(self, site: Site) -> tuple[int, int]:
        """Rows and columns of a site that is not refused: the model's own, else the option's."""
        grid = site.grid or self.grid
        assert grid is not None, "refused elsewhere"
        return grid
