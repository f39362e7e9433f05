"""How well a causal language model predicts held-out text, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

NORMAL = 1.96
"""Half the width of a 95 % interval, in standard errors."""


@dataclass(frozen=True)
class Perplexity:
    """The mean loss per token of each held-out sequence, in nats."""

    losses: tuple[float, ...]

    @property
    def value(self) -> float:
        """``exp`` of the mean loss."""
        return math.exp(fmean(self.losses))

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, from the spread between sequences; ``nan`` for a single one."""
        error = _standard_error(self.losses)
        return math.exp(fmean(self.losses) - NORMAL * error), math.exp(fmean(self.losses) + NORMAL * error)


@dataclass(frozen=True)
class Difference:
    """How much more one model loses per token than another, on the same sequences: mean and 95 % interval, in nats."""

    mean: float
    low: float
    high: float


def perplexity(model: Any, sequences: Tensor, batch: int = 8) -> Perplexity:
    """Predict every token of ``sequences [S, T]`` (int64) from those before it."""
    losses: list[float] = []
    with torch.no_grad():
        for part in torch.split(sequences, batch):
            logits = model(input_ids=part, use_cache=False).logits[:, :-1].float()
            found = torch.nn.functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="none")
            losses += found.view(len(part), -1).double().mean(1).tolist()
    return Perplexity(tuple(losses))


def difference(one: Perplexity, other: Perplexity) -> Difference:
    """``one`` minus ``other``, sequence by sequence."""
    each = [a - b for a, b in zip(one.losses, other.losses, strict=True)]
    error = NORMAL * _standard_error(each)
    return Difference(fmean(each), fmean(each) - error, fmean(each) + error)


def _standard_error(values: tuple[float, ...] | list[float]) -> float:
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
