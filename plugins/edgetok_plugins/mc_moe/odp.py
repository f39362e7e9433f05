"""Online dynamic pruning: of the experts that a token has chosen, those that would change little are left out.

For a token with routing weights ``w_1 >= w_2 >= ...`` every expert with ``w_r / w_1 < mu`` is left out, and the weights
of the others grow so that they add up to what all did. ``mu`` is the median of these ratios over calibration tokens,
layer by layer. Tokens that matter keep all their experts: in each sequence the share ``protect`` of tokens (rounded up)
with the largest ``|t_j|_1 * a_j``, where ``t_j`` is the token as the experts see it and ``a_j`` the attention that it
receives (``importance``). A sequence of one token, as in decoding, has none to protect.

That is the rule of the Mixture Compressor (https://arxiv.org/abs/2410.06270) for two experts a token. For more it does
not say; here one median of all ratios ``w_r / w_1``, ``r >= 2``, serves all ranks, so that no expert is left out while
one of less weight stays. Two departures: weights keep their sum, also where a router does not make it 1; and all
layers are pruned, where its code prunes the ten with the least loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok_plugins.mc_moe.experts.form import Routing

_ROUNDING = 1e-9
"""A hundredth of 100 tokens is one, whatever floats say."""
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Pruning:
    """How the experts of one block are pruned, and what that did to the calibration tokens.

    Attributes:
        threshold: ``mu``.
        protect: the share of tokens that keep all their experts.
        saved: the share of calls of experts that were left out.
        protected: the share of tokens that kept all because they matter.
    """

    threshold: float
    protect: float
    saved: float = 0.0
    protected: float = 0.0

    def keep(self, routing: Routing, received: Tensor | None) -> Tensor:
        """Which of the chosen experts are called, bool ``[N, k]``.

        Args:
            routing: of ``N`` tokens, sequence by sequence.
            received: the attention that they receive, ``[sequences, tokens]``; ``None`` where nothing is protected.
        """
        weights = routing.weights.float()
        ratio = weights / weights.amax(1, keepdim=True).clamp(min=_TINY)
        kept = _at_least(ratio, self.threshold)
        guarded = None if received is None else self.guarded(routing.tokens, received)
        return kept if guarded is None else torch.logical_or(kept, guarded)

    def guarded(self, tokens: Tensor, received: Tensor) -> Tensor | None:
        """Which tokens are protected, bool ``[N, 1]``; ``None`` for none."""
        sequences, length = received.shape
        count = math.ceil(self.protect * length - _ROUNDING) if length > 1 else 0
        if not count:
            return None
        importance = tokens.float().abs().sum(-1).reshape(sequences, length) * received
        first = importance.topk(count, dim=-1).indices
        places = torch.arange(length, device=first.device)
        return (first.unsqueeze(-1) == places).any(1).reshape(-1, 1)

    def tensor(self) -> Tensor:
        """All four figures, float64 ``[4]``, for a safetensors file: rounded ones would decide otherwise."""
        return torch.tensor([self.threshold, self.protect, self.saved, self.protected], dtype=torch.float64)

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], path: str) -> Pruning | None:
        """What ``tensor`` gave, under ``PATH.odp``; ``None`` where a block is not pruned.

        Raises:
            BrokenWeights: the figures are none of a pruning.
        """
        stored = tensors.get(f"{path}.odp")
        if stored is None:
            return None
        figures = stored.tolist() if stored.shape == (4,) and stored.is_floating_point() else []
        if not figures or not all(0 <= figure <= 1 for figure in figures):
            raise BrokenWeights(f"{path}.odp is malformed.", why=f"{stored.dtype} {tuple(stored.shape)}: {figures}")
        return cls(*figures)


def calibrated(routing: Routing, protect: float, received: Tensor | None) -> Pruning:
    """The pruning of a block by the median ratio of these tokens.

    Raises:
        UnsupportedModel: a token has one expert.
    """
    if routing.weights.shape[1] < 2:
        raise UnsupportedModel(
            "There is nothing to prune for each token.",
            why="the model's tokens have one expert each, and it stays",
            hint="Leave odp out.",
        )
    first, *others = routing.weights.float().sort(dim=1, descending=True).values.unbind(1)
    ratios = (torch.stack(others) / first.clamp(min=_TINY)).flatten().sort().values
    middle = ratios[max(len(ratios) // 2 - 1, 0) : len(ratios) // 2 + 1]
    threshold = float(middle.mean())  # between two ratios, so that no calibration token is a tie
    pruning = Pruning(threshold, protect)
    kept = pruning.keep(routing, received)
    guarded = None if received is None else pruning.guarded(routing.tokens, received)
    share = 0.0 if guarded is None else float(guarded.float().mean())
    return Pruning(threshold, protect, float((~kept).float().mean()), share)


def pruned_weights(weights: Tensor, keep: Tensor) -> Tensor:
    """0 where an expert is left out; the others in their proportions, with the sum that all had: ``[N, k]``."""
    left = weights * keep.to(weights.dtype)
    whole, part = (each.sum(1, keepdim=True) for each in (weights, left))
    return left * (whole / part.clamp(min=_TINY))


def _at_least(ratio: Tensor, threshold: float) -> Tensor:
    """``ratio >= threshold``, as the larger of two: parity replays a ``topk`` where rounding decides otherwise."""
    pairs = torch.stack([ratio, torch.full_like(ratio, threshold)], dim=-1)
    return pairs.topk(1, dim=-1).indices.squeeze(-1) == 0
