"""``toma``: attention over merged tokens of an image, with every token back after it, for diffusion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from edgetok.gridded import Grid, Gridded, MinTokens
from edgetok.hookspecs import hookimpl
from edgetok.proportional import PropAttn

if TYPE_CHECKING:
    from torch import Tensor

    from edgetok.graph.regions import Regions
    from edgetok.graph.scope import Extent
    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class ToMA(Gridded):
    """Merge the tokens of an image before an attention's projections, and unmerge its result before it is added.

    The grid is cut into regions of about ``tile x tile`` tokens, and ``ratio`` of each region's tokens goes.

    ``method=toma``: destinations D are chosen by facility location, greedily raising
    ``sum_i max_{j in D} cos(x_i, x_j)``. Token i is shared by ``A_ij = softmax_j(cos(x_i, x_j) / temperature)``,
    merged tokens are ``X' = W X`` with ``W_ji = A_ij / sum_i A_ij``, and the result Y comes back as ``A Y``: all of it
    matrix products. x is what queries, keys and values are projected from.

    ``method=tomesd``: destinations are the first of every 2 x 2 tokens; the ``ratio`` of all tokens that are most
    similar to one merge into it, by plain mean, and come back as copies.

    Departures. ToMA's code was not at hand: its abstract names facility location, the attention-like matrix, its
    transpose as the way back, and tiles; temperature, normalisation and ``rounds`` are ours. A row of ``A`` sums to 1,
    so that equal tokens come back as they were. The paper chooses destinations anew every few steps and layers only;
    one file has no memory between steps, so each attention chooses its own. Its pseudo-inverse is not offered, for it
    has no static form on phones. ``rounds`` takes several destinations at once: one at a time makes a graph as deep as
    there are destinations. tomesd draws a random place in each cell and compares the whole image; here the place is
    fixed and regions compare with themselves. Cross-attention and MLPs see all tokens, as tomesd's default has it.

    Tests hold files against torch: a U-Net's in onnxruntime, a level of one in Core ML and in ExecuTorch (XNNPACK).
    Core ML's is fp32: with the time step as an input, fp16 is too coarse for the dense model already.
    """

    name: ClassVar[str] = "toma"
    summary: ClassVar[str] = "ToMA: merge an image's tokens for each attention, by matrices; also as tomesd does."
    paper: ClassVar[str] = (
        "ToMA: Token Merge with Attention for Diffusion Models (ICML 2025), https://arxiv.org/abs/2509.10918"
    )
    changes: ClassVar[tuple[str, ...]] = ("attention",)
    excludes: ClassVar[tuple[str, ...]] = ("token-count", "attention")
    extent: ClassVar[Extent] = "attention"

    ratio: float = Field(default=0.5, ge=0.0, lt=1.0, description="Share of tokens that go; 0 does nothing.")
    method: Literal["toma", "tomesd"] = Field(
        default="toma", description="Soft merging by facility location, or pairs with the first of 2 x 2 tokens."
    )
    tile: int = Field(default=8, ge=2, description="Side of a region; the divisor of the grid's side nearest to it.")
    temperature: float = Field(default=0.05, gt=0.0, description="How sharply toma gives a token to its destination.")
    rounds: int = Field(default=8, ge=1, description="In how many rounds toma chooses the destinations of a region.")
    min_tokens: MinTokens = 1024
    grid: Grid = None
    prop_attn: PropAttn = False

    def refuses(self, site: Site) -> str | None:
        """Tokens must be a grid that can be cut, large enough to be worth it."""
        reason = super().refuses(site)
        if reason is not None:
            return reason
        grid = self.grid_of(site)
        if min(_divisor(side, self.tile) for side in grid) == 1:
            return "its grid of {} x {} tokens cannot be cut into regions".format(*grid)
        return self._nothing_goes(site) if self.ratio else None

    def _nothing_goes(self, site: Site) -> str | None:
        regions = self._regions(site)
        if self._gone(regions):
            return None
        shape, least = f"{regions.height} x {regions.width}", _least(regions.size)
        return f"ratio = {self.ratio} of its regions of {shape} is less than a token; the smallest that acts is {least}"

    def _regions(self, site: Site, front: int = 0) -> Regions:
        from edgetok.graph.regions import Regions

        grid = self.grid_of(site)
        return Regions(front, *grid, *(_divisor(side, self.tile) for side in grid))

    def _gone(self, regions: Regions) -> int:
        """Tokens that go in each region."""
        wanted = int(regions.size * self.ratio)
        cells = -(-regions.height // 2) * -(-regions.width // 2)
        return wanted if self.method == "toma" else min(wanted, regions.size - cells)

    def keep(self, site: Site, tokens: int) -> int:
        """All but as many in each region."""
        regions = self._regions(site)
        return tokens - self._gone(regions) * regions.count

    def remark(self, site: Site, tokens: int) -> str | None:
        """How many regions there are, and what is left of each."""
        regions = self._regions(site)
        each = self._gone(regions)
        capped = f", not {int(regions.size * self.ratio)}" if each < int(regions.size * self.ratio) else ""
        return f"{each}{capped} of {regions.height} x {regions.width} in each of {regions.count}" if each else None

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """One map per region."""
        from edgetok.graph.regions import RegionMap
        from edgetok.ops.layout import unit

        regions = self._regions(signals.site, signals.protected)
        x = unit(regions.fold(signals.hidden).float())
        inner = self._soft(x, regions) if self.method == "toma" else self._hard(x, regions)
        return RegionMap.over(signals.hidden, regions, inner)

    def _soft(self, x: Tensor, regions: Regions) -> TokenMap:
        from edgetok.graph.soft import SoftMap
        from edgetok.graph.tiles import Tiles
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import match_among, rank_top
        from edgetok_plugins.toma.facility import facilities

        left = regions.size - self._gone(regions)
        ranked = rank_top(facilities(x, left, self.rounds), regions.size, 0)
        chosen, others = ranked[:, :left], ranked[:, left:]
        to = TokenMap.pruning(chosen).reduce(x, None, "first")
        shares = (x @ to.transpose(1, 2) / self.temperature).softmax(-1)
        hard = match_among(x, None, others, chosen, regions.size - left)
        return SoftMap(*hard, inside=Tiles(0, regions.size, 1), assign=shares, back=shares)

    def _hard(self, x: Tensor, regions: Regions) -> TokenMap:
        import torch

        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import match_among

        first = [i * regions.width + j for i in range(0, regions.height, 2) for j in range(0, regions.width, 2)]
        rest = sorted(set(range(regions.size)) - set(first))
        sources, targets = (torch.tensor([ids], device=x.device).expand(x.shape[0], -1) for ids in (rest, first))
        return TokenMap(*match_among(x, None, sources, targets, self._gone(regions)), "plain")


def _divisor(side: int, wanted: int) -> int:
    """The divisor of a side nearest to the one wanted; the larger of two as near."""
    return min((n for n in range(1, side + 1) if side % n == 0), key=lambda n: (abs(n - wanted), -n))


def _least(size: int) -> float:
    """The smallest share of so many tokens that is one of them, to two digits, rounded up."""
    scale = 10.0 ** (1 - math.floor(math.log10(1 / size)))
    return math.ceil(scale / size) / scale


@hookimpl
def edgetok_plugins() -> list[type[ToMA]]:
    """Register the plugin."""
    return [ToMA]
