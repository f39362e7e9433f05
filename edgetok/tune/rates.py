"""Kept counts that have a gradient: DiffRate's proxy for dropping and merging tokens (https://arxiv.org/abs/2305.17997).

Every layer has logits over how many tokens to keep; ``p = softmax(logits)``. The count is the mean ``sum_c p_c c``,
rounded. Token of rank k, 0 the most important, survives with probability ``P(count > k)``: forwards it is 1 or 0 by
the rounded count, backwards it has the gradient of that probability. No token leaves the sequence while rates are
learned: those that went have size 0 in every attention that follows, and what they give to those they merge into has
the gradient too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgetok.graph.tokens import Features, TokenMap

if TYPE_CHECKING:
    from edgetok.graph.signals import Signals
    from edgetok.plugin import TokenReduction

GONE = 1e-6
"""The size of a token that went, so that its logarithm has a gradient."""


class Rates:
    """Counts per layer and kind, 0 for dropping and 1 for merging.

    Attributes:
        logits: ``(layers, 2, tokens)``: entry c - 1 is about keeping c tokens.
        drops: whether tokens are dropped at all.
    """

    def __init__(self, entering: list[int], left: list[int], *, drops: bool) -> None:
        tokens = entering[0]
        self.drops = drops
        start = torch.tensor([[(n + m) / 2 if drops else tokens, m] for n, m in zip(entering, left, strict=True)])
        away = torch.arange(1, tokens + 1) - start.unsqueeze(-1)
        self.logits = (-(away**2) / (2 * max(tokens / 12, 1.0) ** 2)).requires_grad_()

    @property
    def counts(self) -> Tensor:
        """``(layers, 2)``: tokens kept, not rounded; nothing is dropped where ``drops`` says so."""
        kept = self.logits.softmax(-1) @ torch.arange(1.0, self.logits.shape[2] + 1)
        return kept if self.drops else torch.stack([torch.full_like(kept[:, 0], self.logits.shape[2]), kept[:, 1]], 1)

    def left(self) -> Tensor:
        """``(layers,)``: tokens left after each layer, which no layer has more of than the one before."""
        return self.counts.amin(1).cummin(0).values

    def survives(self, layer: int, kind: int, rank: Tensor) -> Tensor:
        """1 or 0 for tokens of these ranks, with the gradient of their probability; ranks below 0 always survive."""
        if kind == 0 and not self.drops:
            return torch.ones_like(rank, dtype=torch.float32)
        p = self.logits[layer, kind].softmax(-1)
        probable = p.flip(0).cumsum(0).flip(0)[rank.clamp(min=0)]
        hard = (rank < self.counts[layer, kind].detach().round()).float()
        return hard + probable - probable.detach()

    def removed(self) -> tuple[list[float], list[float]]:
        """Tokens dropped and merged in each layer."""
        dropped, merged, now = [], [], float(self.logits.shape[2])
        for keep, stay in self.counts.detach().tolist():
            kept = min(now, keep)
            dropped.append(now - kept)
            merged.append(max(kept - stay, 0.0))
            now = min(kept, stay)
        return dropped, merged


@dataclass(frozen=True)
class Masked(TokenMap):
    """A map that keeps every token in its place, and takes what went out of account.

    Attributes:
        stay: ``(batch, N)`` 1 for tokens that stay, 0 for those that went, with gradients.
        give: ``(batch, N, N)`` what share of a token goes to which other one.
        proportional: whether a token that was merged into counts for several.
    """

    stay: Tensor = field(kw_only=True)
    give: Tensor = field(kw_only=True)
    proportional: bool = field(kw_only=True)

    def window(self, start: int, stop: int) -> Masked:
        """The map without tokens in front; nothing is merged into those."""
        plain = super().window(start, stop)
        return replace(
            self,
            keep=plain.keep,
            stay=self.stay[:, start:stop],
            give=self.give[:, start:stop, start:stop],
        )

    def reduce(self, x: Tensor, sizes: Tensor | None, how: str) -> Tensor:
        """``(batch, N, c) -> (batch, N, c)``."""
        if how == "first":
            return x
        given = self.give.transpose(1, 2)
        if how == "sum":
            added = given @ x if self.proportional else 0.0
            return x * self.stay.unsqueeze(-1) + added + GONE
        weights = torch.ones_like(x[:, :, :1]) if sizes is None else sizes.unsqueeze(-1)
        weights = weights.clamp(max=1) if self.features == "plain" else weights
        return (weights * x + given @ (weights * x)) / (weights + given @ weights)

    def restore(self, y: Tensor, old: int, dropped: Tensor | None = None) -> Tensor:
        """Merged tokens have the value of what they merged into; dropped ones what they became by themselves."""
        return y + self.give @ y - self.give.sum(2, keepdim=True) * y

    @property
    def local(self) -> bool:
        """It is inverted by its own matrix."""
        return True

    @property
    def soft(self) -> bool:
        """Averages over tokens need them restored."""
        return True


@dataclass
class Proxy:
    """Stands in for a reduction while its rates are learned."""

    plugin: TokenReduction
    rates: Rates
    proportional: bool = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plugin, name)

    def reduce(self, signals: Signals, keep: int) -> Masked:
        """Rank, drop and merge without taking a token out."""
        front, layer = signals.protected, signals.site.index
        hidden, sizes = signals.hidden, signals.sizes
        alive = torch.ones_like(hidden[:, :, 0]) if sizes is None else (sizes.detach() > 0.5).to(hidden.dtype)
        with torch.no_grad():
            metric = hidden if self.rates.drops else signals.keys
            alike = _similarity(metric, alive, front)
            scores = signals.attention_row(0 if front else None) if self.rates.drops else -alike.amax(-1)
            rank = _rank(scores, alive, front)
        kept, stays = (self.rates.survives(layer, kind, rank) for kind in (0, 1))
        with torch.no_grad():
            taking = alive * kept * stays
            taking[:, :front] = 0
            into = alike.masked_fill(taking.unsqueeze(1) < 0.5, -4.0).argmax(-1)
        go = alive * kept * (1 - stays)
        give = torch.nn.functional.one_hot(into, hidden.shape[1]).to(hidden.dtype) * go.unsqueeze(-1)
        every = torch.arange(hidden.shape[1]).expand(hidden.shape[0], -1)
        features: Features = getattr(self.plugin, "merging", "mean")
        none, weigh = every[:, :0], self.plugin.proportional
        return Masked(every, none, none, features, stay=kept * stays, give=give, proportional=weigh)


def _similarity(metric: Tensor, alive: Tensor, front: int) -> Tensor:
    """``(batch, N, N)`` cosines; -3 with oneself, with the front and with what went."""
    x = torch.nn.functional.normalize(metric.float(), dim=-1)
    alike = (x @ x.transpose(1, 2)).masked_fill(alive.unsqueeze(1) < 0.5, -3.0)
    alike[:, :, :front] = -3.0
    return alike.masked_fill(torch.eye(x.shape[1], dtype=torch.bool), -3.0)


def _rank(scores: Tensor, alive: Tensor, front: int) -> Tensor:
    """The rank of each token behind the front, 0 for the highest score; what went comes last, the front below 0."""
    ordered = scores.masked_fill(alive < 0.5, -9.0)[:, front:].argsort(dim=1, descending=True, stable=True)
    rank = ordered.argsort(1)
    return torch.cat([rank.new_full((rank.shape[0], front), -1), rank], 1)
