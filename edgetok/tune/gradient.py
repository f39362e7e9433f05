"""Rates by gradient: how many tokens each layer drops and merges, learned on calibration samples, then fixed.

After DiffRate (https://arxiv.org/abs/2305.17997), with the proxy of :mod:`edgetok.tune.rates`. The loss is the
divergence from the dense model, so that no labels are needed, plus the squared relative distance of the cost from the
budget. Departures: the paper learns on ImageNet's training set for three epochs; here a few dozen steps on whatever
samples there are start from constant r at the same budget. The counts that come out are scaled to the budget, so that
it is met however learning went. Padded sequences are not learned on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgetok.errors import BadSchedule
from edgetok.tune.rates import Proxy, Rates
from edgetok.tune.schedule import scaled, to_budget

if TYPE_CHECKING:
    from edgetok.graph import Step
    from edgetok.tune.judge import Judge
    from edgetok.tune.setting import Candidate, Setting

STEPS, RATE, PULL = 60, 0.1, 10.0
"""Steps of Adam, its learning rate on logits, and the weight of the budget in the loss."""


@dataclass(frozen=True)
class Round:
    """One round over all samples: the logits it began with, the mean divergence from dense in nats, and the cost."""

    logits: Tensor
    divergence: float
    cost: float


@dataclass(frozen=True)
class Learned:
    """What learning found.

    Attributes:
        candidate: fixed counts within the budget.
        rounds: over all samples; the first begins with constant r.
        best: the round whose counts were taken.
        target: the cost that was asked for.
    """

    candidate: Candidate
    rounds: tuple[Round, ...]
    best: int
    target: float


def learn(
    setting: Setting, judge: Judge, budget: float, kind: str, *, steps: int = STEPS, rate: float = RATE
) -> Learned:
    """Learn counts per layer by gradient.

    Args:
        setting: the model and its plugin, which must have a schedule, or one for dropping and one for merging.
        judge: holds the samples; its labels are not looked at.
        budget: what the counts may cost.
        kind: of goal, which says what ``Setting.cost`` counts.
        steps: of the optimiser, about, one batch each, in whole rounds; the counts of the best round are taken.
        rate: its learning rate.

    Raises:
        BadSchedule: the plugin has no counts per layer, or its model has padding.
    """
    start = scaled(setting, [1.0] * setting.layers, budget, kind)
    learner = _Learner(setting, judge, kind, start)
    adam = torch.optim.Adam([learner.rates.logits], rate)
    rounds: list[Round] = []
    for _ in range(max(steps // judge.batches, 1)):
        held, parts = learner.rates.logits.detach().clone(), []
        for batch in range(judge.batches):
            divergence, cost = learner.divergence(batch), learner.cost(learner.rates.left())
            adam.zero_grad()
            (divergence + PULL * (cost / learner.target - 1) ** 2).backward()  # type: ignore[no-untyped-call]
            adam.step()
            parts.append((float(divergence.detach()), float(cost.detach())))
        rounds.append(Round(held, *(sum(column) / len(parts) for column in zip(*parts, strict=True))))
    objectives = [each.divergence + PULL * (each.cost / learner.target - 1) ** 2 for each in rounds]
    best = objectives.index(min(objectives))
    learner.rates.logits.data.copy_(rounds[best].logits)
    return Learned(learner.settled(budget), tuple(rounds), best, learner.target)


class _Learner:
    """One learning run: rates, and the program with proxies in the places of the plugin."""

    def __init__(self, setting: Setting, judge: Judge, kind: str, start: Candidate) -> None:
        from edgetok.graph.retrace import Retrace

        sites = [s for s in setting.prepared.sites if s.space.index == setting.space]
        if any(site.mask.kind == "padding" or site.space.trailing for site in sites):
            raise BadSchedule(
                "Rates are not learned for sequences with padding, or with other tokens behind those that merge.",
                hint="--method threshold",
            )
        self.setting, self.judge, self.kind = setting, judge, kind
        self.fixed = sites[0].tokens - sites[0].mergeable(sites[0].tokens)
        self.dense = torch.tensor([float(n) for n in start.dense[:-1]])
        entering, left = ([n - self.fixed for n in counts] for counts in (start.entering[:-1], start.entering[1:]))
        self.rates = Rates(entering, left, drops=self._drops(start))
        self.target = float(self.cost(torch.tensor([float(n) for n in left])))
        self.walk = Retrace(setting.prepared.program, self._steps())
        exported = setting.prepared.program.exported
        held = {**exported.state_dict, **exported.constants}
        self.tensors = {name: t.detach() for name, t in held.items() if isinstance(t, Tensor)}

    def _drops(self, start: Candidate) -> bool:
        return start.plugin.with_rates(start.removed, [0] * len(start.removed)) is not None

    def _steps(self) -> list[Step]:
        """Every place where the plugin may act, and nothing else."""
        every = self.setting.candidate([1] * self.setting.layers)
        found = [s for s in self.setting.steps(every) if s.site.space.index == self.setting.space]
        own = [s for s in found if s.plugin is every.plugin]
        if len(own) < len(found):
            raise BadSchedule("Rates are learned for one reduction alone.", hint="Tune it first, then add others.")
        proxy = Proxy(self.setting.plugin, self.rates)
        return [replace(s, plugin=proxy, keep=s.site.tokens) for s in own]  # type: ignore[arg-type]

    def divergence(self, batch: int) -> Tensor:
        """KL(dense || proxy) on one batch."""
        inputs, dense = self.judge.batch_of(batch)
        outputs = self.walk.run(inputs, self.tensors.__getitem__)
        found = outputs[self.judge.index].log_softmax(-1)
        return torch.nn.functional.kl_div(
            found, dense.log_softmax(-1).to(found.dtype), log_target=True, reduction="batchmean"
        )

    def cost(self, left: Tensor) -> Tensor:
        """What the counts cost, differentiable: tokens left, or what layers run on (``Candidate.loads``), of dense."""
        after = left + self.fixed
        if self.kind == "tokens":
            return after.sum() / self.dense.sum()
        before = torch.cat([self.dense[:1], after[:-1]])
        return ((before + 2 * after) / (3 * self.dense)).mean()

    def settled(self, budget: float) -> Candidate:
        """The learned counts as fixed ones, scaled to the budget."""
        setting, layers = self.setting, self.setting.layers
        dropped, merged = self.rates.removed()

        def make(both: tuple[int, ...]) -> Candidate:
            if not self.rates.drops:
                return setting.candidate(both[layers:])
            return setting.with_rates(both[:layers], both[layers:])

        weights = [*dropped, *merged] if self.rates.drops else [0.0] * layers + merged
        return to_budget(weights, budget, setting.mergeable, make, lambda c: setting.cost(c, self.kind))
