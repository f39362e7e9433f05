"""One decision over all batches: how it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgetok.verify.divergence import module_of
from edgetok.verify.parity import Figures, Site

if TYPE_CHECKING:
    from torch.fx import Node

    from edgetok.verify.replay import Judgement
    from edgetok.verify.tolerance import Bound, Rules


@dataclass(frozen=True)
class Noise:
    """How far what a decision is made of is from the reference, and how far that may be."""

    scores: Figures
    control: Figures
    bound: Bound

    @property
    def admitted(self) -> bool:
        """Whether it is within bounds."""
        return self.bound.admits(self.scores)


def judge(node: Node, judged: Sequence[Judgement], noise: Sequence[Noise], rules: Rules) -> Site:
    """The record of one decision.

    Args:
        node: the decision.
        judged: one judgement per batch.
        noise: of every value that its scores are computed from, where a control has them too; then the file's own
            scores judge, else the reference's.
        rules: the near-ties.
    """
    same, reference = (np.concatenate([getattr(j, kind) for j in judged]) for kind in ("same", "gap"))
    own = [j.own for j in judged if j.own is not None]
    scored = bool(noise) and len(own) == len(judged)
    gap = np.concatenate(own) if scored else reference
    worst = min(noise, key=lambda n: (n.admitted, n.scores.snr_db - n.bound.min_snr_db)) if scored else None
    near_tie = rules.near_tie(scored=scored)
    return Site(
        node=node.name,
        module=module_of(node),
        samples=len(gap),
        same=int(same.sum()),
        invalid=int((~np.isfinite(reference)).sum()),
        worst_gap=_largest(gap),
        near_tie=near_tie,
        passed=bool((gap <= near_tie).all()) and (worst is None or worst.admitted),
        reference_gap=_largest(reference) if scored else None,
        scores=worst.scores if worst else None,
        control=worst.control if worst else None,
        scores_bound=worst.bound if worst else None,
    )


def _largest(gap: np.ndarray) -> float:
    return float(gap[np.isfinite(gap)].max(initial=0.0))
