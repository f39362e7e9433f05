"""``kth``: keep every k-th token, merge all others into the most similar of those nearby."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from edgetok.hookspecs import hookimpl
from edgetok.proportional import PropAttn, Proportional

if TYPE_CHECKING:
    from torch import Tensor

    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class Kth(Proportional):
    """Every k-th token stays, and each of the others merges into the most similar of those: N tokens become N / k.

    Similarity is the cosine of the keys averaged over heads; groups become the mean weighted by size, and attention
    adds ``log size`` to its scores. All others merge, so nothing is ranked: there is no sort in any realisation. One
    such step replaces many of Token Merging's; ``layers`` says after which attentions.

    This is ``kth_bipartite_soft_matching`` of Token Merging's reference code; the paper does not describe it.
    Departures: tokens are compared within tiles of about ``tile`` neighbours, so that cost grows with N and not with
    its square; of every k tokens the last stays; tokens in front of the patches are protected, and take no part.
    """

    name: ClassVar[str] = "kth"
    summary: ClassVar[str] = "Keep every k-th token, merge the others into the most similar of those in their tile."
    paper: ClassVar[str] = "Token Merging: Your ViT But Faster (ICLR 2023), https://arxiv.org/abs/2210.09461"
    changes: ClassVar[tuple[str, ...]] = ("token-count", "attention")

    k: int = Field(
        default=2,
        ge=1,
        description="One of k tokens stays; 1 keeps all.",
        json_schema_extra={"search": {"choices": [1, 2, 3, 4]}},
    )
    layers: tuple[int, ...] = Field(
        default=(),
        description="Layers after whose attention it acts, from 0, as [3,7]; empty for the one in the middle.",
    )
    tile: int = Field(default=256, ge=2, description="Neighbouring tokens that are compared with each other.")
    prop_attn: PropAttn = True

    @field_validator("layers")
    @classmethod
    def _from_nought(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if any(layer < 0 for layer in layers):
            raise ValueError(f"layers count from 0, got {layers}")
        return layers

    def keep(self, site: Site, tokens: int) -> int:
        """A k-th of every tile, and what is in none."""
        if site.index not in (self.layers or (site.count // 2,)) or self.k == 1:
            return tokens
        free = site.mergeable(tokens)
        count = max(round(free / self.tile), 1)
        size = free // count
        return tokens - count * (size - size // self.k) if size >= self.k else tokens

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Every tile's targets are at fixed places; all else is a source."""
        import torch

        from edgetok.graph.tiles import Tiles, tiled
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import match_among

        tiles = Tiles.of(signals.tokens, signals.protected, self.tile)
        targets = range(self.k - 1, tiles.size, self.k)
        sources = [i for i in range(tiles.size) if i not in targets]

        def match(metric: Tensor, sizes: Tensor | None) -> TokenMap:
            places = (torch.tensor([*ids], device=metric.device) for ids in (sources, targets))
            chosen = [ids.expand(metric.shape[0], -1) for ids in places]
            return TokenMap(*match_among(metric, sizes, chosen[0], chosen[1], len(sources)))

        return tiled(signals.tokens, tiles, signals.keys, signals.sizes if signals.padded else None, match)


@hookimpl
def edgetok_plugins() -> list[type[Kth]]:
    """Register the plugin."""
    return [Kth]
