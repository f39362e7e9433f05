"""``local-merge``: merge similar tokens among neighbours only, for long sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from edgetok.hookspecs import hookimpl
from edgetok.proportional import PropAttn, Proportional
from edgetok.schedule import Scheduled

if TYPE_CHECKING:
    from torch import Tensor

    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class LocalMerge(Proportional, Scheduled):
    """Token Merging inside tiles of neighbouring tokens: time and memory grow with N, not with its square.

    The tokens behind the protected front are cut into ``n`` runs of about ``tile`` tokens. In each, those at even
    places are linked to their most similar one at odd places, by cosine of the keys averaged over heads, and the
    ``r / n`` most similar links are merged into the mean of their tokens, weighted by size. Tiles are samples of their
    own to every operation, so similarity takes ``N * tile / 4`` numbers and merging ``N * tile``, also where a target
    merges by one-hot products; what is restored is restored tile by tile.

    Departures. The paper allows a token the partners at a distance below k, and takes the r best links of the whole
    sequence. A band and a global ranking cost more than tiles do where there is neither sort nor gather, and tiles
    found partners as similar: so k is ``tile``, tokens at a tile's edge see half of their neighbours, and every tile
    merges as many. Its causal form for decoders (k = 1) is not offered, since causal attention is refused. r is cut to
    a multiple of the number of tiles, and the plan says so.
    """

    name: ClassVar[str] = "local-merge"
    summary: ClassVar[str] = "Local merging: Token Merging within tiles, linear in the number of tokens."
    paper: ClassVar[str] = (
        "Efficient Time Series Processing for Transformers and State-Space Models through Token Merging (ICML 2025), "
        "https://arxiv.org/abs/2405.17951"
    )
    changes: ClassVar[tuple[str, ...]] = ("token-count", "attention")

    tile: int = Field(
        default=256,
        ge=2,
        description="Neighbouring tokens that are compared with each other.",
        json_schema_extra={"search": {"low": 16, "high": 512}},
    )
    order: Literal["reference", "kept"] = Field(
        default="reference",
        description="Order within a tile: 'reference' puts unmerged even tokens before odd ones, 'kept' keeps the "
        "original order. Models with positions inside their layers (RoPE, relative biases) always use 'kept'.",
    )
    prop_attn: PropAttn = True

    def keep(self, site: Site, tokens: int) -> int:
        """All but the same number in each tile."""
        count = self._tiles(site, tokens)
        return tokens - self._per_tile(site, tokens) * count

    def remark(self, site: Site, tokens: int) -> str | None:
        """How many tiles there are, and how many tokens each merges."""
        each, count = self._per_tile(site, tokens), self._tiles(site, tokens)
        said = [f"{each} in each of {count} tiles of {site.mergeable(tokens) // count}"] if each else []
        if self.wanted(site) != each * count:
            said.append(f"r = {self.wanted(site)} becomes {each * count}")
        return "; ".join(said) or None

    def _tiles(self, site: Site, tokens: int) -> int:
        return max(round(site.mergeable(tokens) / self.tile), 1)

    def _per_tile(self, site: Site, tokens: int) -> int:
        count = self._tiles(site, tokens)
        return min(self.wanted(site) // count, site.mergeable(tokens) // count // 2)

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Bipartite soft matching on the keys of every tile."""
        from edgetok.graph.tiles import Tiles, tiled
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import bipartite_match

        tiles = Tiles.of(signals.tokens, signals.protected, self.tile)
        order = "kept" if signals.site.positions else self.order

        def match(metric: Tensor, sizes: Tensor | None) -> TokenMap:
            return TokenMap(*bipartite_match(metric, sizes, (signals.tokens - keep) // tiles.count, 0, order))

        return tiled(signals.tokens, tiles, signals.keys, signals.sizes if signals.padded else None, match)


@hookimpl
def edgetok_plugins() -> list[type[LocalMerge]]:
    """Register the plugin."""
    return [LocalMerge]
