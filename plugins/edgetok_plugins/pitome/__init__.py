"""``pitome``: protect informative tokens before merging."""

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


class PiToMe(Proportional, Scheduled):
    """Merge the r most redundant pairs of tokens, and protect those that nothing else resembles.

    With ``c_ij`` the cosine of the keys of tokens i and j, averaged over heads, a token's energy is
    ``E_i = mean_j f(c_ij - m)``: high where many tokens are like it. The margin m falls from layer to layer,
    ``m = start - fall * l / L`` for layer l of L. Tokens are listed by energy, the highest first; each at an even place
    proposes to merge into the most similar of those at odd places. In the second half of the layers the list is the 2r
    tokens of highest energy, all of whose proposals are accepted: all other tokens are protected. In the first half all
    tokens are listed, and the r most similar proposals accepted. Features are averaged by size, and attention adds
    ``log size`` to its scores.

    Where paper and reference code differ, both are options. ``matching``: the paper protects by energy in every layer
    (``energy``), the code for DeiT in the second half, the code for MAE in the first; the default is the code's for
    DeiT, a classifier with a class token as most models given to this plugin are. ``margin``: the paper and the code
    for AugReg ViTs have (0.9, 0.9), the default as the one value that both have; the code for DeiT and MAE (0.75,
    0.75). ``energy``: the code takes ``f = elu``; the paper's f jumps at the margin, ``x + m`` above it. ``elu`` is the
    default, since rounding at the jump would change the ranking. ``prop_attn``: the paper weighs attention by size, the
    code does not; on is the default, so that equal tokens weigh as much merged as they did apart. The code takes a
    ratio of tokens to keep, ``r = floor(T - T * ratio)``: give ``ratio`` instead of ``r``.

    Departures: all tokens in front of the patches are protected, not the class token alone, and their keys count in
    no energy; tokens keep their order, since this method ranks them anew in every layer; padding is most redundant of
    all, and counts in no other token's energy.
    """

    name: ClassVar[str] = "pitome"
    summary: ClassVar[str] = "PiToMe: merge the tokens that many others resemble, protect the rest."
    paper: ClassVar[str] = (
        "Accelerating Transformers with Spectrum-Preserving Token Merging (NeurIPS 2024), "
        "https://arxiv.org/abs/2405.16148"
    )
    changes: ClassVar[tuple[str, ...]] = ("token-count", "attention")

    ratio: float | None = Field(
        default=None,
        gt=0.5,
        le=1.0,
        description="Share of the mergeable tokens kept in each layer, in place of r: at 0.9 a tenth is merged.",
    )
    margin: tuple[float, float] = Field(
        default=(0.9, 0.9), description="(start, fall) of the margin: start - fall * layer / layers."
    )
    energy: Literal["elu", "paper"] = Field(
        default="elu", description="What similarity beyond the margin counts: 'elu' is continuous, 'paper' jumps there."
    )
    matching: Literal["energy", "bipartite-first", "bipartite-last"] = Field(
        default="bipartite-first",
        description="Where all tokens are listed by energy and the best proposals taken, in place of the 2r tokens of "
        "highest energy with all of theirs: in the first half of the layers, the last, or ('energy') nowhere.",
    )
    prop_attn: PropAttn = True

    def keep(self, site: Site, tokens: int) -> int:
        """All but r, or the share that ``ratio`` keeps."""
        if self.ratio is None:
            return super().keep(site, tokens)
        free = site.mergeable(tokens)
        return tokens - min(int(free - free * self.ratio), self.cap(site, tokens))

    def remark(self, site: Site, tokens: int) -> str | None:
        """Say where r was capped."""
        return super().remark(site, tokens) if self.ratio is None else None

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Rank by energy, then match alternating places of the ranking."""
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import match_among, rank_top
        from edgetok_plugins.pitome.energy import energies

        r, site = signals.tokens - keep, signals.site
        start, fall = self.margin
        free, sizes = signals.tokens - signals.protected, signals.sizes if signals.padded else None
        scores = energies(signals.keys, sizes, signals.protected, start - fall * site.index / site.count, self.energy)
        ranked = rank_top(scores, free if self._is_bipartite(site) else 2 * r, signals.protected)
        return TokenMap(*match_among(signals.keys, sizes, ranked[:, 0::2], ranked[:, 1::2], r))

    def _is_bipartite(self, site: Site) -> bool:
        half = -(-site.count // 2)
        return {"bipartite-first": site.index < half, "bipartite-last": site.index >= half}.get(self.matching, False)


@hookimpl
def edgetok_plugins() -> list[type[PiToMe]]:
    """Register the plugin."""
    return [PiToMe]
