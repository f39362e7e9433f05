"""``token-transform``: a many-to-many matrix from old tokens to new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from edgetok.hookspecs import hookimpl
from edgetok.proportional import PropAttn, Proportional
from edgetok.schedule import Scheduled

if TYPE_CHECKING:
    from torch import Tensor

    from edgetok.graph.signals import Signals
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class TokenTransform(Proportional, Scheduled):
    """Every new token is a weighted mean of all old ones: ``X' = W X`` with a full matrix.

    The N - r tokens that the class token attends to most, averaged over heads, are anchors. Each token i is shared
    among all anchors a by ``S_ia = softmax_a(cos(k_i, k_a) / temperature)``, k the keys averaged over heads, and
    ``W_ai = S_ia s_i / sum_j S_ja s_j`` with sizes s; new sizes are ``sum_i S_ia s_i``, so they add up. Attention then
    adds ``log size`` to its scores. Restored tokens are the mixture S of the new ones. As the temperature goes to 0,
    each token merges into its most similar anchor.

    The paper unites pruning and merging as such matrices, and argues for many-to-many ones without training. No code of
    it was at hand: the choice of anchors and the softmax of cosines are ours in detail. Where no token stands in front,
    the mean query stands in for the class token's. Padding is an anchor of its own, and neither gives to nor takes from
    real tokens.
    """

    name: ClassVar[str] = "token-transform"
    summary: ClassVar[str] = "Token Transforming: share every token among the most attended ones, by a matrix."
    paper: ClassVar[str] = (
        "Token Transforming: A Unified and Training-Free Token Compression Framework for Vision Transformer "
        "Acceleration (ICCV 2025), https://arxiv.org/abs/2506.05709"
    )
    changes: ClassVar[tuple[str, ...]] = ("token-count", "attention")

    temperature: float = Field(
        default=0.01,
        gt=0.0,
        description="How sharply a token goes to its most similar anchor.",
        json_schema_extra={"search": {"low": 0.002, "high": 0.2}},
    )
    prop_attn: PropAttn = True

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Choose anchors by attention, then share all tokens among them."""
        from edgetok.graph.soft import SoftMap
        from edgetok.graph.tiles import Tiles
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import match_among, rank_top

        front, sizes = signals.protected, signals.sizes if signals.padded else None
        scores = signals.attention_row(0 if front else None, proportional=self.prop_attn)
        if signals.real is not None:
            scores = scores + 2.0 * (1 - signals.real.to(scores.dtype))
        ranked = rank_top(scores, signals.tokens - front, front)
        anchors, others = ranked[:, : keep - front], ranked[:, keep - front :]
        hard = TokenMap(*match_among(signals.keys, sizes, others, anchors, signals.tokens - keep))
        shares = self._shares(signals.keys, sizes, hard, front)
        inside = Tiles(front, signals.tokens - front, 1)
        return SoftMap(hard.keep, hard.src, hard.dst, inside=inside, assign=shares, back=shares)

    def _shares(self, keys: Tensor, sizes: Tensor | None, hard: TokenMap, front: int) -> Tensor:
        """``(B, N, M)`` of the tokens behind the front; padding and real tokens do not share."""
        from edgetok.ops.layout import unit

        x = unit(keys.float())
        scores = x[:, front:] @ hard.reduce(x, None, "first")[:, front:].transpose(1, 2) / self.temperature
        if sizes is not None:
            real = sizes.float().clamp(max=1).unsqueeze(-1)
            apart = (real[:, front:] - hard.reduce(real, None, "first")[:, front:].transpose(1, 2)).abs()
            scores = scores - 3e4 * apart
        return scores.softmax(-1)


@hookimpl
def edgetok_plugins() -> list[type[TokenTransform]]:
    """Register the plugin."""
    return [TokenTransform]
