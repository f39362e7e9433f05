"""What calibration tokens say about experts: how often, how much, and what each width would cost.

For expert ``i`` of a block, over ``N`` tokens: frequency ``n_i / N`` where ``n_i`` tokens chose it; weight, the sum of
its routing weights over ``N``; and for each width the Frobenius norm of the change of the block's output when this
expert alone is rounded to it. Only tokens that chose the expert change, so that norm is computed on them.

Departures from the Mixture Compressor (https://arxiv.org/abs/2410.06270): weights are those that outputs are really
multiplied by, after any renormalisation, because routers differ in what they compute before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgetok_plugins.mc_moe.experts.form import MATRICES, Routing, expert_output
from edgetok_plugins.mc_moe.grid import round_to_nearest
from edgetok_plugins.mc_moe.packing import dequantise
from edgetok_plugins.mc_moe.stored import StoredExperts


@dataclass(frozen=True)
class Statistics:
    """What was seen at one block.

    Attributes:
        name: the path of the experts.
        tokens: how many tokens passed.
        frequency: the share of tokens that chose each expert.
        weight: the mean over all tokens of its routing weight, 0 where it was not chosen.
        loss: for each expert, the change of the output at each width.
        norm: the Frobenius norm of the output.
        ratio: the median over tokens of the second largest weight over the largest; ``None`` with one expert a token.
    """

    name: str
    tokens: int
    frequency: tuple[float, ...]
    weight: tuple[float, ...]
    loss: tuple[tuple[float, ...], ...]
    norm: float
    ratio: float | None


class Observer:
    """Computes a block's output from experts in files, one at a time, and notes its statistics on the way."""

    def __init__(self, name: str, stored: StoredExperts, widths: Sequence[int], group: int) -> None:
        self.name, self.stored, self.widths, self.group = name, stored, tuple(widths), group
        self.statistics: Statistics | None = None

    def __call__(self, routing: Routing) -> Tensor:
        """What the experts add up to, ``[N, H]``; ``statistics`` are there afterwards."""
        count = len(routing.tokens)
        out = torch.zeros_like(routing.tokens)
        chosen, weight, loss = [], [], []
        for expert in range(self.stored.form.count):
            rows, weights = routing.of(expert)
            chosen.append(len(rows) / count)
            weight.append(float(weights.double().sum()) / count)
            made, errors = self._expert(expert, routing.tokens[rows], weights[:, None].float())
            loss.append(errors)
            out.index_add_(0, rows, made.to(out.dtype))
        norm = float(out.double().norm())
        self.statistics = Statistics(
            self.name, count, tuple(chosen), tuple(weight), tuple(loss), norm, _ratio(routing.weights)
        )
        return out

    def _expert(self, expert: int, tokens: Tensor, weights: Tensor) -> tuple[Tensor, tuple[float, ...]]:
        """Its weighted output, and how far off that is at each width."""
        if not len(tokens):
            return tokens, (0.0,) * len(self.widths)
        form = self.stored.form
        up, down = (self.stored.read(expert, name).to(tokens.device) for name in MATRICES)
        exact = expert_output(form, expert, tokens, up, down)
        errors = []
        for bits in self.widths:
            rounded = [dequantise(round_to_nearest(matrix, bits=bits, group=self.group)) for matrix in (up, down)]
            change = expert_output(form, expert, tokens, *rounded).sub_(exact).mul_(weights)
            errors.append(float(change.double().norm()))
        return exact * weights, tuple(errors)


def _ratio(weights: Tensor) -> float | None:
    if weights.shape[1] < 2:
        return None
    first, second = weights.float().topk(2, dim=1).values.unbind(1)
    return float((second / first.clamp(min=torch.finfo(torch.float32).tiny)).median())
