"""``attentive``: fuse the tokens that nobody looks at into the attentive ones that resemble them."""

from typing import Any

from pydantic import Field

from edgetok.hookspecs import hookimpl
from edgetok.plugin import TokenReduction

api_version = "1"


class Attentive(TokenReduction):
    """Keep the tokens with the most attention ``softmax(q K^T / sqrt(d))``, averaged over heads.

    ``q`` is the query of the class token, or the mean query. Each other token joins the kept one with the nearest key.
    Departure: EViT fuses them all into one. Padding goes first, into padding.
    """

    name = "attentive"
    summary = "Fuse the least attended tokens into similar attentive ones."
    paper = "EViT (ICLR 2022), https://arxiv.org/abs/2202.07800"
    drop: float = Field(default=0.1, ge=0.0, le=0.5, description="Share of the tokens fused away per attention.")

    def keep(self, site: Any, tokens: int) -> int:
        """All tokens but the dropped share."""
        return tokens - int(site.mergeable(tokens) * self.drop)

    def reduce(self, signals: Any, keep: int) -> Any:
        """Rank by attention, then send each token that goes to its nearest that stays."""
        from edgetok.graph import TokenMap
        from edgetok.ops import select_top

        score, keys, first = signals.attention_row(0 if signals.protected else None), signals.keys, signals.protected
        real = score >= 0 if signals.real is None else signals.real
        kept = select_top(score.masked_fill(~real, -1.0), keep, first)
        gone = select_top((TokenMap.pruning(kept).destinations(score.shape[1]) < 0).float(), score.shape[1] - keep, 0)
        unit = keys / keys.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        near = (unit @ unit.transpose(1, 2)).masked_fill(real[:, :, None] != real[:, None], -2.0)
        rows = near.gather(1, gone[:, :, None].expand(-1, -1, score.shape[1]))
        near = rows.gather(2, kept[:, None, first:].expand(-1, gone.shape[1], -1))
        return TokenMap(kept, gone, near.argmax(-1) + first)


@hookimpl
def edgetok_plugins() -> list[type[Attentive]]:
    """Tell edgetok about the plugin."""
    return [Attentive]
