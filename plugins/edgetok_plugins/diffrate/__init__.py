"""``diffrate``: prune what the class token ignores, then merge, each by its own number per layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from edgetok.hookspecs import hookimpl
from edgetok.proportional import PropAttn, Proportional
from edgetok.schedule import Schedule, per_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap

api_version = "1"


class DiffRate(Proportional):
    """Prune the least attended tokens of a layer, then merge the next ones into the rest.

    Tokens are ranked by importance: the attention the class token pays them, averaged over heads. The last ``prune``
    of them are dropped. Of those left, the last ``merge`` are each merged into the most similar of the others, by
    cosine of the hidden states after the attention. The paper learns how many of each kind per layer; here they are
    options, plain numbers or one per layer, and a calibrator finds them.

    Where a model has no token in front, the mean query of all tokens stands in for the class token's.

    Where paper and reference code differ, both are options. ``merging``: the paper merges by a mean, which the code
    takes as the plain one of a group: ``plain`` is the default, and what the paper's figures were measured with;
    ``mean`` weighs by size, as Token Merging does. ``sizes``: the code multiplies a merged token's size by its
    similarity before it adds it (``code``), so that sizes shrink with every merge; the default has them add up
    (``conserved``), so that equal tokens weigh in attention as much merged as they did apart. A negative similarity
    counts as 0 there, for the logarithm of a negative size is none. ``prop_attn`` (on, as in the code) adds ``log
    size`` to attention scores.

    Departures: the code reorders all tokens by importance; ours keep their order, and are ranked anew in every layer.
    All tokens in front of the patches are protected, and none of them is merged into. Padding is pruned before
    anything else and never merged; the code knows none.
    """

    name: ClassVar[str] = "diffrate"
    summary: ClassVar[str] = "DiffRate: prune unattended tokens and merge similar ones, by numbers per layer."
    paper: ClassVar[str] = (
        "DiffRate: Differentiable Compression Rate for Efficient Vision Transformers (ICCV 2023), "
        "https://arxiv.org/abs/2305.17997"
    )
    changes: ClassVar[tuple[str, ...]] = ("token-count", "attention")

    prune: Schedule = Field(
        default=4,
        description="Tokens to drop per layer: a number, one per layer [0,4,8], or (n, inflection) as (4,-1.0).",
        json_schema_extra={"search": {"low": 0, "high": 16}},
    )
    merge: Schedule = Field(
        default=4,
        description="Tokens to merge per layer after pruning, in the same forms. At most half of what is left.",
        json_schema_extra={"search": {"low": 0, "high": 16}},
    )
    merging: Literal["plain", "mean", "mlerp"] = Field(
        default="plain",
        description="What a group becomes: its plain mean, its mean weighted by size, or that at the longest's length.",
    )
    sizes: Literal["conserved", "code"] = Field(
        default="conserved",
        description="What a merged token adds to its group's size: all of its own, or that times its similarity.",
    )
    prop_attn: PropAttn = True

    def with_rates(self, dropped: Sequence[int], merged: Sequence[int]) -> Self:
        """The same with both numbers per layer."""
        return type(self).model_validate({**self.model_dump(), "prune": tuple(dropped), "merge": tuple(merged)})

    def with_schedule(self, removed: Sequence[int]) -> Self:
        """The same with so many tokens per layer, dropped and merged in the proportion that the layer has now."""
        pairs = list(zip(*(per_layer(option, len(removed)) for option in (self.prune, self.merge)), strict=True))
        dropped, every = sum(prune for prune, _ in pairs), sum(map(sum, pairs))
        usual = dropped / every if every else 0.5
        shares = [prune / (prune + merge) if prune + merge else usual for prune, merge in pairs]
        prune = [round(n * share) for n, share in zip(removed, shares, strict=True)]
        return self.with_rates(prune, [n - gone for n, gone in zip(removed, prune, strict=True)])

    def counts(self, site: Site, tokens: int) -> tuple[int, int]:
        """How many tokens a site drops, and how many it merges: one at least stays, and half of those not dropped."""
        free = site.mergeable(tokens)
        pruned = min(per_layer(self.prune, site.count)[site.index], max(free - 1, 0))
        return pruned, min(per_layer(self.merge, site.count)[site.index], (free - pruned) // 2)

    def keep(self, site: Site, tokens: int) -> int:
        """All but what is dropped and merged."""
        return tokens - sum(self.counts(site, tokens))

    def remark(self, site: Site, tokens: int) -> str | None:
        """What goes which way, and where that is less than asked for."""
        pruned, merged = self.counts(site, tokens)
        wanted = tuple(per_layer(option, site.count)[site.index] for option in (self.prune, self.merge))
        capped = "" if (pruned, merged) == wanted else f", capped from {wanted[0]} and {wanted[1]}"
        return f"{pruned} pruned, {merged} merged{capped}" if pruned or merged else None

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """Drop the least important, then match the next ones with those that stay."""
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import select_top

        pruned, merged = self.counts(signals.site, signals.tokens + signals.site.space.trailing)
        scores = signals.attention_row(0 if signals.protected else None, proportional=self.prop_attn)
        kept = select_top(_with_padding(scores, signals, -1.0), signals.tokens - pruned, signals.protected)
        pruning = TokenMap.pruning(kept)
        if not merged:
            return pruning
        ranking = _with_padding(scores, signals, 2.0).unsqueeze(-1)
        parts = [signals.hidden, ranking]
        if signals.padded and signals.sizes is not None:
            parts.append(signals.sizes.unsqueeze(-1))
        if pruned:
            parts = [pruning.reduce(part, None, "first") for part in parts]
        made = self._merged(parts[0], *(part.squeeze(-1) for part in parts[1:]), merged=merged, front=signals.protected)
        return made.after_pruning(kept) if pruned else made

    def _merged(
        self, hidden: Tensor, ranking: Tensor, sizes: Tensor | None = None, *, merged: int, front: int
    ) -> TokenMap:
        """The last ``merged`` tokens of a ranking into the most similar of the others behind the front."""
        from edgetok.graph.tokens import TokenMap
        from edgetok.ops import match_among, rank_top

        ranked = rank_top(ranking, hidden.shape[1] - front, front)
        stay = ranked.shape[1] - merged
        links = match_among(hidden, sizes, ranked[:, stay:], ranked[:, :stay], merged)
        if self.sizes == "conserved":
            return TokenMap(*links, self.merging)
        from edgetok_plugins.diffrate.faded import FadedMap

        return FadedMap.of(hidden, links, self.merging)


def _with_padding(scores: Tensor, signals: Signals, padding: float) -> Tensor:
    """Scores with another one for padding."""
    if signals.real is None:
        return scores
    real = signals.real.to(scores.dtype)
    return scores * real + padding * (1 - real)


@hookimpl
def edgetok_plugins() -> list[type[DiffRate]]:
    """Register the plugin."""
    return [DiffRate]
