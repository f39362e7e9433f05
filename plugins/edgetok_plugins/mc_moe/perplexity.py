"""How well a causal language model predicts held-out text, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

NORMAL = 1.96
"""Half the width of a 95 % interval, in standard errors."""


@dataclass(frozen=True)
class Perplexity:
    """How well each held-out sequence is predicted.

    Attributes:
        losses: the mean loss per token of each, in nats.
        rights: the share of its tokens that were thought the likeliest.
    """

    losses: tuple[float, ...]
    rights: tuple[float, ...]

    @property
    def value(self) -> float:
        """``exp`` of the mean loss."""
        return math.exp(fmean(self.losses))

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, from the spread between sequences; ``nan`` for a single one."""
        error = _standard_error(self.losses)
        return math.exp(fmean(self.losses) - NORMAL * error), math.exp(fmean(self.losses) + NORMAL * error)

    @property
    def accuracy(self) -> float:
        """Next-token top-1, in per cent."""
        return 100 * fmean(self.rights)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 %, as ``interval``, within 0 to 100."""
        half = 100 * NORMAL * _standard_error(self.rights)
        return max(self.accuracy - half, 0.0), min(self.accuracy + half, 100.0)


@dataclass(frozen=True)
class Difference:
    """How much one model is above another on the same sequences: mean and 95 % interval."""

    mean: float
    low: float
    high: float


def perplexity(model: Any, sequences: Tensor, batch: int = 8) -> Perplexity:
    """Predict every token of ``sequences [S, T]`` (int64) from those before it."""
    losses: list[float] = []
    rights: list[float] = []
    with torch.no_grad():
        for part in torch.split(sequences, batch):
            logits = model(input_ids=part, use_cache=False).logits[:, :-1].float()
            following = part[:, 1:]
            found = torch.nn.functional.cross_entropy(logits.flatten(0, 1), following.flatten(), reduction="none")
            losses += found.view(len(part), -1).double().mean(1).tolist()
            rights += (logits.argmax(-1) == following).double().mean(1).tolist()
    return Perplexity(tuple(losses), tuple(rights))


def difference(one: Perplexity, other: Perplexity) -> Difference:
    """How much more ``one`` loses per token than ``other``, in nats."""
    return _paired(one.losses, other.losses)


def fewer_right(one: Perplexity, other: Perplexity) -> Difference:
    """How many tokens fewer ``one`` predicts than ``other``, in points of per cent."""
    return _paired([100 * right for right in other.rights], [100 * right for right in one.rights])


def _paired(one: Sequence[float], other: Sequence[float]) -> Difference:
    each = [a - b for a, b in zip(one, other, strict=True)]
    error = NORMAL * _standard_error(each)
    return Difference(fmean(each), fmean(each) - error, fmean(each) + error)


def _standard_error(values: Sequence[float]) -> float:
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
