"""``tome``: Token Merging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from edgetok.hookspecs import hookimpl
from edgetok.plugin import TokenReduction
from edgetok_plugins.tome.schedule import is_inflected, per_layer

if TYPE_CHECKING:
    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"

Count = Annotated[int, Field(ge=0)]


class ToMe(TokenReduction):
    """Merge the r most similar pairs of tokens after every attention.

    With ``k`` the keys averaged over heads, A the tokens at even and B at odd places, every token of A is linked to its
    most similar one in B, ``b(a) = argmax_b cos(k_a, k_b)``; the r most similar links are merged into the mean of their
    tokens weighted by size, and sizes add up. Attention then adds ``log size`` to its scores, so that a token weighs as
    much as the tokens it stands for.

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

    r: Count | tuple[Count, float] | tuple[Count, ...] = Field(
        default=8,
        description="Tokens to merge per layer: a number, one per layer [8,8,4], or (r, inflection) as (8,-1.0). "
        "At most half of the mergeable tokens go in one layer; more is capped, and the plan says so.",
        json_schema_extra={"search": {"low": 0, "high": 32}},
    )
    order: Literal["reference", "kept"] = Field(
        default="reference",
        description="Order of the tokens left: 'reference' puts unmerged even tokens before odd ones, 'kept' keeps the "
        "original order. Models with positions inside their layers (RoPE, relative biases) always use 'kept'.",
    )
    prop_attn: bool = Field(
        default=True, description="Proportional attention: add log size to attention scores. Off suits MAE encoders."
    )

    @field_validator("r", mode="before")
    @classmethod
    def _as_tuple(cls, r: object) -> object:
        return tuple(r) if isinstance(r, list) else r

    @model_validator(mode="after")
    def _inflection_is_sane(self) -> ToMe:
        if isinstance(self.r, tuple) and is_inflected(self.r) and not -1.0 <= self.r[1] <= 1.0:
            raise ValueError(f"inflection must lie between -1 and 1, got {self.r[1]}")
        return self

    @property
    def proportional(self) -> bool:  # type: ignore[override]
        """Whether attention weighs tokens by size."""
        return self.prop_attn

    def keep(self, site: Site, tokens: int) -> int:
        """All but r, and never fewer than half of the mergeable tokens."""
        return tokens - min(self._wanted(site), self._cap(site, tokens))

    def remark(self, site: Site, tokens: int) -> str | None:
        """Say where r was capped, and where the model decides the order."""
        wanted, cap = self._wanted(site), self._cap(site, tokens)
        said = [f"r = {wanted} is capped at {cap}, half of the mergeable tokens"] if wanted > cap else []
        if site.positions and self.order != "kept" and site.index == 0:
            said.append("order is 'kept': the model has positions inside its layers")
        return "; ".join(said) or None

    def _wanted(self, site: Site) -> int:
        return per_layer(self.r, site.count)[site.index]

    @staticmethod
    def _cap(site: Site, tokens: int) -> int:
        return site.mergeable(tokens) // 2

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Bipartite soft matching on the keys."""
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import bipartite_match

        order = "kept" if signals.site.positions else self.order
        sizes = signals.sizes if signals.padded else None
        return TokenMap(*bipartite_match(signals.keys, sizes, signals.tokens - keep, signals.protected, order))


@hookimpl
def edgetok_plugins() -> list[type[ToMe]]:
    """Register the plugin."""
    return [ToMe]
