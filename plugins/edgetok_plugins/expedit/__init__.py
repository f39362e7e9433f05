"""``expedit``: cluster the grid of patches in the middle of the network, and rebuild it at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from edgetok.hookspecs import hookimpl
from edgetok.proportional import PropAttn, Proportional

if TYPE_CHECKING:
    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class Expedit(Proportional):
    """Replace the H x W patches by h x w superpixels after one layer; outputs per token are rebuilt from them.

    Centres start as the means of the cells of an h x w grid. ``iterations`` times each patch is shared among the
    centres near its own cell by ``softmax(-temperature * |x - c|^2)``, and each centre becomes the mean of what it
    got. The layers that follow see the centres. Where the model needs all patches again, each is the mixture
    ``softmax(-temperature * |x - c|^2)`` of the tokens that the centres near it have become, with x and c as they were
    at the clustering. Everything has a fixed shape, and nothing is sorted or chosen.

    Where the reference code differs: its temperature is 0.01 whatever the scale of the hidden states, at which a small
    model's patches all belong to every centre near them alike; here patches are scaled first. It rebuilds from the 20
    nearest centres and divides weights by their Euclidean norm; here the centres within ``reach`` cells stand in for
    the nearest (25 for the default), and weights sum to 1, so that equal tokens come back exactly. It makes windows of
    the new grid for SAM; windowed attention is refused.
    The paper knows no weighing of attention by size, which is therefore off; ``prop_attn`` turns it on.
    """

    name: ClassVar[str] = "expedit"
    summary: ClassVar[str] = "Expedit: superpixels in the middle layers, rebuilt for dense prediction."
    paper: ClassVar[str] = (
        "Expediting Large-Scale Vision Transformer for Dense Prediction without Fine-tuning (NeurIPS 2022), "
        "https://arxiv.org/abs/2210.01035"
    )
    changes: ClassVar[tuple[str, ...]] = ("token-count", "attention")

    side: float = Field(
        default=0.75,
        gt=0.0,
        le=1.0,
        description="Sides of the new grid over those of the old: 0.5 leaves a quarter of the patches, 1 does nothing.",
        json_schema_extra={"search": {"low": 0.3, "high": 1.0}},
    )
    layer: int | None = Field(
        default=None,
        ge=0,
        description="The layer after whose attention it acts, from 0; a quarter of the depth if none.",
    )
    iterations: int = Field(default=5, ge=0, le=20, description="How often centres are computed again.")
    temperature: float | None = Field(
        default=None,
        gt=0.0,
        description="How sharply a patch belongs to the nearest centre, for distances in the scale of the hidden "
        "states: 0.01 in the reference code. If none, 10 for patches scaled to a mean squared distance of 1 from "
        "their mean.",
    )
    reach: int = Field(default=2, ge=0, description="How many cells away a centre may be: 2 makes 5 x 5 of them.")
    prop_attn: PropAttn = False

    def refuses(self, site: Site) -> str | None:
        """Tokens must be a grid."""
        if site.obstacle is not None or site.grid is not None:
            return site.obstacle
        return "its tokens are not known to be a grid of patches"

    def _grid(self, site: Site) -> tuple[int, int]:
        assert site.grid is not None, "refused elsewhere"
        height, width = (max(round(self.side * side), 1) for side in site.grid)
        return height, width

    def keep(self, site: Site, tokens: int) -> int:
        """As many patches as superpixels, at the one layer, while the grid is whole."""
        layer = site.count // 4 if self.layer is None else self.layer
        if site.index != layer or tokens != site.tokens or self._grid(site) == site.grid:
            return tokens
        height, width = self._grid(site)
        return tokens - site.mergeable(tokens) + height * width

    def remark(self, site: Site, tokens: int) -> str | None:
        """The grids, where it acts."""
        if self.keep(site, tokens) == tokens or site.grid is None:
            return None
        return "{} x {} patches become {} x {}".format(*site.grid, *self._grid(site))

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Cluster the hidden states on the grid."""
        from edgetok_plugins.expedit.superpixels import superpixels

        assert signals.site.grid is not None, "refused elsewhere"
        new = self._grid(signals.site)
        return superpixels(
            signals.hidden, signals.protected, signals.site.grid, new, self.iterations, self.temperature, self.reach
        )


@hookimpl
def edgetok_plugins() -> list[type[Expedit]]:
    """Register the plugin."""
    return [Expedit]
