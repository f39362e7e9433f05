"""``todo``: keys and values of a coarser grid, for image diffusion at high resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from edgetok.hookspecs import hookimpl
from edgetok.plugin import TokenReduction

if TYPE_CHECKING:
    from edgetok.graph.scope import Extent
    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class ToDo(TokenReduction):
    """Take keys and values from every ``factor``-th row and column of the tokens' grid; every token still asks.

    ``softmax(Q D(K)^T / sqrt(d)) D(V)``, where D picks the first token of each ``factor x factor`` cell, or with
    ``pool=average`` takes their mean. Nothing is compared, chosen or restored, and all shapes are fixed. D acts before
    the projections of keys and values, which therefore cost less too. Tokens in front of the grid and after it, such as
    the text of a joint attention, stay as they are.

    Which levels of a U-Net it acts at is said by ``min_tokens``; the paper's code samples the highest resolutions only.
    Where its grid does not divide by ``factor``, an attention is refused, while the paper's code resamples to the
    nearest size. ``prop_attn`` is ours: where text stands beside the image, a key that stands for ``factor^2`` tokens
    is weighed by ``log factor^2``; where all keys are alike it changes nothing, and costs a mask.
    """

    name: ClassVar[str] = "todo"
    summary: ClassVar[str] = "ToDo: keys and values of a coarser grid, for image diffusion."
    paper: ClassVar[str] = (
        "ToDo: Token Downsampling for Efficient Generation of High-Resolution Images (IJCAI 2024), "
        "https://arxiv.org/abs/2402.13573"
    )
    changes: ClassVar[tuple[str, ...]] = ("attention",)
    excludes: ClassVar[tuple[str, ...]] = ("token-count", "attention")
    extent: ClassVar[Extent] = "keys"

    factor: int = Field(default=2, ge=1, description="Rows and columns per key: 2 leaves a quarter, 1 does nothing.")
    pool: Literal["nearest", "average"] = Field(
        default="nearest", description="What a cell becomes: its first token, or the mean of all."
    )
    min_tokens: int = Field(
        default=1024, ge=1, description="Attentions over fewer tokens than this, text aside, are left alone."
    )
    grid: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = Field(
        default=None, description="Rows and columns of the tokens, as [64,64], for models that do not show them."
    )
    prop_attn: bool = Field(default=False, description="Proportional attention: add log size to attention scores.")

    @property
    def proportional(self) -> bool:  # type: ignore[override]
        """Whether attention weighs tokens by size."""
        return self.prop_attn

    def refuses(self, site: Site) -> str | None:
        """Tokens must be a grid that divides, large enough to be worth it."""
        reason, free = site.obstacle_to(self.extent), site.mergeable(site.tokens)
        if reason is not None:
            return reason
        if free < self.min_tokens:
            return f"its {free} tokens are fewer than min_tokens = {self.min_tokens}"
        grid = self._grid(site)
        if grid is None or grid[0] * grid[1] != free:
            return f"its {free} tokens are not known to be a grid; if they are, say grid=[rows,columns]"
        if any(side % self.factor for side in grid):
            return "its grid of {} x {} tokens does not divide by {}".format(*grid, self.factor)
        return None

    def _grid(self, site: Site) -> tuple[int, int] | None:
        return site.grid or self.grid

    def keep(self, site: Site, tokens: int) -> int:
        """One key per cell."""
        free = site.mergeable(tokens)
        return tokens - free + free // self.factor**2

    def remark(self, site: Site, tokens: int) -> str | None:
        """That it is about keys and values."""
        return "keys and values only" if self.factor > 1 else None

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Cells of the grid."""
        from edgetok_plugins.todo.sampling import sampled

        grid = self._grid(signals.site)
        assert grid is not None, "refused elsewhere"
        return sampled(signals.hidden, signals.protected, grid, self.factor, pooled=self.pool == "average")


@hookimpl
def edgetok_plugins() -> list[type[ToDo]]:
    """Register the plugin."""
    return [ToDo]
