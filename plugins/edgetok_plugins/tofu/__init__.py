"""``tofu``: Token Fusion, pruning in early layers and norm-preserving merging in later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from edgetok.hookspecs import hookimpl
from edgetok.proportional import PropAttn, Proportional
from edgetok.schedule import Scheduled

if TYPE_CHECKING:
    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class ToFu(Proportional, Scheduled):
    """Match as Token Merging does; drop the sources in early layers, fuse them at full length in later ones.

    Tokens at even places are matched with their most similar ones at odd places, and the r best links are taken, by
    the cosine of the keys averaged over heads. Early layers bend what is interpolated, so there the source of a link
    is *pruned*. Later layers are nearly linear between tokens, so there it is merged; a mean is shorter than what it
    is the mean of, and MLERP gives it back its length: ``x' = m / |m| * max_i |x_i|`` with m the mean of the group.

    The paper's figure shows where to switch, by layer; ``switch`` is the share of the layers that prune, one half
    as in the only public re-implementation (with the PiToMe code). ``length``: that code divides by the length the
    destination had before, not by that of the mean (``code``), and so does not keep the largest length; the default is
    the paper's formula (``paper``), which does. It is ``later = mean`` for MAE there.

    Departures: the mean is weighted by size, as in Token Merging, and attention adds ``log size`` to its scores; the
    paper says neither. A pruned token's size is lost. ``prop_attn`` turns the bias off.
    """

    name: ClassVar[str] = "tofu"
    summary: ClassVar[str] = "Token Fusion: prune in early layers, merge at full length in later ones."
    paper: ClassVar[str] = (
        "Token Fusion: Bridging the Gap between Token Pruning and Token Merging (WACV 2024), "
        "https://arxiv.org/abs/2312.01026"
    )
    changes: ClassVar[tuple[str, ...]] = ("token-count", "attention")

    switch: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Share of the layers, from the first, that prune; the others merge.",
        json_schema_extra={"search": {"low": 0.0, "high": 1.0}},
    )
    later: Literal["mlerp", "mean"] = Field(
        default="mlerp", description="How later layers merge: at the length of the longest, or as the plain mean."
    )
    length: Literal["paper", "code"] = Field(
        default="paper", description="What MLERP divides by: the length of the mean, or that of the destination before."
    )
    prop_attn: PropAttn = True

    def prunes(self, site: Site) -> bool:
        """Whether a layer prunes what it matched."""
        return site.index < self.switch * site.count

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Bipartite soft matching on the keys, then drop or fuse."""
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import bipartite_match

        sizes = signals.sizes if signals.padded else None
        kept, src, dst = bipartite_match(signals.keys, sizes, signals.tokens - keep, signals.protected, "kept")
        if self.prunes(signals.site):
            return TokenMap.pruning(kept)
        if self.later == "mlerp" and self.length == "code":
            from edgetok_plugins.tofu.stretched import StretchedMap

            return StretchedMap(kept, src, dst)
        return TokenMap(kept, src, dst, self.later)


@hookimpl
def edgetok_plugins() -> list[type[ToFu]]:
    """Register the plugin."""
    return [ToFu]
