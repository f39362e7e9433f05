"""PiToMe's energy: how much of the sequence a token resembles."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from edgetok.ops.layout import unit

PADDING = 2.0
"""Energy of padding: more than a cosine can reach."""


def energies(
    metric: Tensor, sizes: Tensor | None, protected: int, margin: float, form: Literal["elu", "paper"] = "elu"
) -> Tensor:
    """The mean over all tokens j behind the prefix of ``f(cos(i, j) - margin)``.

    ``f`` is ``elu`` with alpha 1; in the form ``paper`` a similarity above the margin counts whole, not its excess.

    Args:
        metric: ``[B, N, d]``, floating.
        sizes: ``[B, N]``, 0 for padding; None where all tokens are real.
        protected: length of the prefix that takes no part.
        margin: the similarity from which on another token counts as alike.
        form: of f.

    Returns:
        ``[B, N]``, fp32; meaningless in the prefix.
    """
    x = unit(metric.float())
    cosines = x @ x[:, protected:].transpose(1, 2)
    excess = cosines - margin
    alike = excess.clamp(min=0) + excess.clamp(max=0).exp() - 1
    if form == "paper":
        alike = alike + margin * (excess >= 0)
    if sizes is None:
        return alike.mean(2)
    real = sizes.float().clamp(max=1)
    others = real[:, protected:].unsqueeze(2)
    mean = (alike @ others).squeeze(2) / others.sum(1).clamp(min=1)
    return mean * real + PADDING * (1 - real)
