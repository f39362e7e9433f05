"""``tome``: Token Merging."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from edgetok.hookspecs import hookimpl
from edgetok.proportional import Proportional
from edgetok.schedule import Scheduled

if TYPE_CHECKING:
    from torch import Tensor

    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class ToMe(Proportional, Scheduled):
    """Merge the r most similar pairs of tokens after every attention.

    With ``k`` the keys averaged over heads, A the tokens at even and B at odd places, every token of A is linked to its
    most similar one in B, ``b(a) = argmax_b cos(k_a, k_b)``; the r most similar links are merged into the mean of their
    tokens weighted by size, and sizes add up. Attention then adds ``log size`` to its scores, so that a token weighs as
    much as the tokens it stands for.

    ``protect`` is ours: with ``w_i`` the attention that the class token pays to token i, averaged over heads and
    divided by its mean over the tokens behind the front, similarity becomes ``cos(k_a, k_b) - protect * (w_a + w_b)``.
    What the model looks at is then merged last. Where no token stands in front, the mean query stands in for the class
    token's. At 0, the default, the method is the paper's.

    Where we depart from the reference implementation: *all* tokens in front of the patches are protected (class,
    distillation, registers, and every token that the model picks by its index); keys are those the attention uses,
    after any q/k-norm and rotation; the model's own layers run unchanged, so LayerScale and the like are kept;
    padding never merges with real tokens; ties go to the lower index; without a class token unmerged tokens stay in
    ascending order.
    """

    name: ClassVar[str] = "tome"
    summary: ClassVar[str] = "Token Merging: merge similar tokens after every attention."
    paper: ClassVar[str] = "Token Merging: Your ViT But Faster (ICLR 2023), https://arxiv.org/abs/2210.09461"
    changes: ClassVar[tuple[str, ...]] = ("token-count", "attention")

    order: Literal["reference", "kept"] = Field(
        default="reference",
        description="Order of the tokens left: 'reference' puts unmerged even tokens before odd ones, 'kept' keeps the "
        "original order. Models with positions inside their layers (RoPE, relative biases) always use 'kept'.",
    )
    prop_attn: bool = Field(
        default=True, description="Proportional attention: add log size to attention scores. Off suits MAE encoders."
    )
    protect: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="How much the class token's attention to a token speaks against merging it: 0.02 takes 0.02 off "
        "the similarities of a token that gets the mean attention, 0.2 where it gets ten times that.",
        json_schema_extra={"search": {"low": 0.0, "high": 0.1, "guess": 0.05}},
    )

    def remark(self, site: Site, tokens: int) -> str | None:
        """Say where r was capped, and where the model decides the order."""
        said = [super().remark(site, tokens)]
        if site.positions and self.order != "kept" and site.index == 0:
            said.append("order is 'kept': the model has positions inside its layers")
        return "; ".join(filter(None, said)) or None

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Bipartite soft matching on the keys."""
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import bipartite_match

        order = "kept" if signals.site.positions else self.order
        sizes = signals.sizes if signals.padded else None
        return TokenMap(*bipartite_match(self._metric(signals), sizes, signals.tokens - keep, signals.protected, order))

    def _metric(self, signals: Signals) -> Tensor:
        """The keys, with attention in them where it counts."""
        if not self.protect:
            return signals.keys
        from edgetok_plugins.tome.guard import guarded

        attention = signals.attention_row(0 if signals.protected else None, proportional=self.prop_attn)
        return guarded(signals.keys, attention, signals.protected, self.protect, signals.real)


@hookimpl
def edgetok_plugins() -> list[type[ToMe]]:
    """Register the plugin."""
    return [ToMe]
