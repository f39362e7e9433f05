"""``todo``: keys and values of a coarser grid, for image diffusion at high resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from edgetok.gridded import Grid, Gridded, MinTokens
from edgetok.hookspecs import hookimpl
from edgetok.proportional import PropAttn

if TYPE_CHECKING:
    from edgetok.graph.scope import Extent
    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class ToDo(Gridded):
    """Take keys and values from every ``factor``-th row and column of the tokens' grid; every token still asks.

    ``softmax(Q D(K)^T / sqrt(d)) D(V)``, where D picks the first token of each ``factor x factor`` cell, or with
    ``pool=average`` takes their mean. Nothing is compared, chosen or restored, and all shapes are fixed. D acts before
    the projections of keys and values, which therefore cost less too. Tokens in front of the grid and after it, such as
    the text of a joint attention, stay as they are.

    Which levels of a U-Net it acts at is said by ``min_tokens``; the paper's code samples the highest resolutions only.
    Where its grid does not divide by ``factor``, an attention is refused, while the paper's code resamples to the
    nearest size. ``prop_attn`` is ours: where text stands beside the image, a key that stands for ``factor^2`` tokens
    is weighed by ``log factor^2``; where all keys are alike it changes nothing, and costs a mask.

    Tests hold files against torch: joint attention of text and image in onnxruntime, a block of a DiT in Core ML and in
    ExecuTorch (XNNPACK). Core ML's is fp32: with the time step as an input, fp16 is too coarse for the dense model
    already.
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
    min_tokens: MinTokens = 1024
    grid: Grid = None
    prop_attn: PropAttn = False

    def refuses(self, site: Site) -> str | None:
        """Tokens must be a grid that divides, large enough to be worth it."""
        reason = super().refuses(site)
        if reason is None and any(side % self.factor for side in self.grid_of(site)):
            return "its grid of {} x {} tokens does not divide by {}".format(*self.grid_of(site), self.factor)
        return reason

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

        grid = self.grid_of(signals.site)
        return sampled(signals.hidden, signals.protected, grid, self.factor, pooled=self.pool == "average")


@hookimpl
def edgetok_plugins() -> list[type[ToDo]]:
    """Register the plugin."""
    return [ToDo]
