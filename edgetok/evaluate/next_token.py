"""Language models on the same windows: perplexity, next-token accuracy, and intervals over windows.

Tokens of one window depend on each other, windows do not: differences between the models are averaged window by window
first, and the spread is that of the windows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, sqrt
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METHOD = "Normal interval of the paired differences between windows, 95 %"
METRIC = "next-token top-1"
LARGEST = 300.0
"""Nats; the largest mean loss that is told."""
_Z = 1.959964


class Perplexity(BaseModel):
    """Perplexity a token of two models on the same text: exp of the mean of -ln p(next token).

    ``ratio`` is dense / optimised (below 1 is a loss), ``ci95`` its paired 95 % interval by ``method``: unknown for a
    single window. A perplexity is at most ``exp(LARGEST)``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int
    windows: int
    dense: float
    optimized: float
    ratio: float
    ci95: tuple[float, float] | None
    method: str = METHOD


@dataclass
class NextTokens:
    """What is counted of each window: losses and right guesses of both models, as means over its tokens."""

    losses: list[NDArray[np.float64]] = field(default_factory=list)
    rights: list[NDArray[np.float64]] = field(default_factory=list)
    agree: float = 0.0
    kl: float = 0.0
    tokens: int = 0

    def add(self, first: NDArray[np.float64], second: NDArray[np.float64], following: NDArray[np.int64]) -> None:
        """Count log-probabilities ``[n, length, vocabulary]`` of both against what follows, ``[n, length - 1]``."""
        import numpy as np

        p, q = first[:, :-1], second[:, :-1]
        picked = [np.take_along_axis(each, following[..., None], -1)[..., 0] for each in (p, q)]
        tops = p.argmax(-1), q.argmax(-1)
        self.losses.append(np.stack([-each.mean(-1) for each in picked], 1))
        self.rights.append(np.stack([(top == following).mean(-1) for top in tops], 1))
        self.agree += float((tops[0] == tops[1]).sum())
        self.kl += float((np.exp(p) * (p - q)).sum())
        self.tokens += following.size

    def perplexity(self) -> Perplexity:
        """Of both models."""
        import numpy as np

        losses = np.concatenate(self.losses)
        interval = paired_mean_interval(losses[:, 0] - losses[:, 1])
        dense, optimised = (_perplexity(float(mean)) for mean in losses.mean(0))
        return Perplexity(
            tokens=self.tokens,
            windows=len(losses),
            dense=dense,
            optimized=optimised,
            ratio=dense / optimised,
            ci95=None if interval is None else (_perplexity(interval[0]), _perplexity(interval[1])),
        )

    def accuracy(self) -> tuple[float, float, tuple[float, float]]:
        """Shares of right guesses of both models, and the interval of their difference."""
        import numpy as np

        rights = np.concatenate(self.rights)
        dense, optimised = rights.mean(0)
        low, high = paired_mean_interval(rights[:, 0] - rights[:, 1]) or (-1.0, 1.0)
        return float(dense), float(optimised), (max(low, -1.0), min(high, 1.0))


def _perplexity(loss: float) -> float:
    return exp(max(min(loss, LARGEST), -LARGEST))


def paired_mean_interval(differences: NDArray[np.float64]) -> tuple[float, float] | None:
    """The normal 95 % interval of the mean of independent differences; None for a single one, which has no spread."""
    n = len(differences)
    if n < 2:
        return None
    mean, half = float(differences.mean()), _Z * float(differences.std(ddof=1)) / sqrt(n)
    return mean - half, mean + half
