"""Thresholds become fixed counts: one threshold of similarity for all layers, chosen so that a budget is met.

A dynamic method merges, in every layer and for every picture, all tokens whose most similar other token is more similar
than a threshold; layers whose tokens are alike merge more. After DyMU (https://arxiv.org/abs/2504.17040), whose
thresholds are running means over pictures: here the mean number above the threshold over the tuning samples is the
layer's fixed count. We depart from it in using *one* threshold for all layers: one per layer, each chosen for the same
r, gives constant r again once counts are fixed. As what a layer sees depends on what went before it, similarities are
found anew under the schedule so far, a few times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgetok.tune.schedule import rounded, scaled

if TYPE_CHECKING:
    from edgetok.graph import TokenMap
    from edgetok.graph.signals import Signals
    from edgetok.plugin import TokenReduction
    from edgetok.tune.judge import Judge
    from edgetok.tune.setting import Candidate, Setting

ROUNDS = 3
"""How often similarities are found anew."""


@dataclass
class Listener:
    """Stands in for a reduction and notes how similar tokens are at each site: ``(batch, tokens / 2)`` a call."""

    plugin: TokenReduction
    heard: dict[int, list[Tensor]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plugin, name)

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """The plugin's own answer."""
        self.heard.setdefault(signals.site.index, []).append(similarity(signals))
        return self.plugin.reduce(signals, keep)


def similarity(signals: Signals) -> Tensor:
    """The cosine of every even token's keys with those of its most similar odd one; padding and protected are out."""
    keys = torch.nn.functional.normalize(signals.keys[:, signals.protected :].float(), dim=-1)
    even, odd = keys[:, 0::2], keys[:, 1::2]
    best = (even @ odd.transpose(1, 2)).amax(-1)
    if signals.real is not None:
        best = best.masked_fill(~signals.real[:, signals.protected :][:, 0::2], -1.0)
    return best


def calibrate(setting: Setting, judge: Judge, budget: float, kind: str) -> Candidate:
    """The schedule of the threshold whose mean counts over the judge's samples cost at most ``budget``.

    Args:
        setting: the model and its plugin, which must have a schedule.
        judge: holds the samples.
        budget: what the schedule may cost.
        kind: of goal, which says what ``Setting.cost`` counts.
    """
    found = scaled(setting, [1.0] * setting.layers, budget, kind)
    for _ in range(ROUNDS):
        heard = _listen(setting, judge, found)
        found = _at_budget(setting, heard, budget, kind)
    return found


def _listen(setting: Setting, judge: Judge, candidate: Candidate) -> list[Tensor]:
    """Sorted similarities of every layer under a schedule; layers that it leaves alone merge one token to be heard."""
    heard_at = setting.candidate([max(n, 1) for n in candidate.removed])
    listener = Listener(heard_at.plugin)
    steps = [
        replace(step, plugin=listener) if step.plugin is heard_at.plugin else step  # type: ignore[arg-type]
        for step in setting.steps(heard_at)
    ]
    judge.scores([step for step in steps if step.site.space.index == setting.space])
    return [torch.cat(listener.heard[i]) if i in listener.heard else torch.empty(0) for i in range(setting.layers)]


def _at_budget(setting: Setting, heard: Sequence[Tensor], budget: float, kind: str) -> Candidate:
    """Bisect the threshold."""
    values = torch.cat([each.flatten() for each in heard if each.numel()])
    low, high = float(values.min()), float(values.max())
    best = setting.candidate(counts(heard, low))
    for _ in range(24):
        middle = (low + high) / 2
        found = setting.candidate(counts(heard, middle))
        if setting.cost(found, kind) <= budget:
            best, low = found, middle
        else:
            high = middle
    return setting.settled(best)


def counts(heard: Sequence[Tensor], threshold: float) -> tuple[int, ...]:
    """The mean number of tokens above a threshold in each layer, rounded so that their sum is kept."""
    return rounded([float((each > threshold).float().sum(1).mean()) if each.numel() else 0.0 for each in heard])
