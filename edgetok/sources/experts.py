"""Mixtures of experts in a form that captures: every expert sees every token, and the router's weights choose.

transformers' own forms do not do: ``eager`` branches on data, ``grouped_mm`` sorts tokens and has no translation
elsewhere, ``batched_mm`` copies the matrices of every token's experts, which for a sequence is many times the model.
Here the matrices are read once where they lie. It costs as much arithmetic as if all experts were chosen; for fewer
tokens than that is worth, ``batched_mm`` is taken.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NAME = "edgetok"


def implementation() -> str:
    """The name for ``experts_implementation``, known to transformers from then on."""
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    if NAME not in ALL_EXPERTS_FUNCTIONS:
        ALL_EXPERTS_FUNCTIONS.register(NAME, experts_forward)
    return NAME


def experts_forward(experts: Any, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """What a transformers experts module computes.

    Args:
        experts: the module, with ``gate_up_proj`` (or ``up_proj``) and ``down_proj`` stacked along their first axis.
        hidden: ``[T, H]``.
        chosen: ``[T, k]`` indices of experts; those beyond the last count for nothing.
        weights: ``[T, k]`` of the router.

    Returns:
        ``[T, H]`` in the dtype of ``hidden``.
    """
    if _few(hidden.shape[0] * chosen.shape[1], experts.num_experts):
        from transformers.integrations.moe import batched_mm_experts_forward

        few: Tensor = batched_mm_experts_forward(experts, hidden, chosen, weights)
        return few
    name = "gate_up_proj" if experts.has_gate else "up_proj"
    inner = _project(experts, name, hidden.unsqueeze(0))
    inner = experts._apply_gate(inner) if experts.has_gate else experts.act_fn(inner)
    out = _project(experts, "down_proj", inner)
    if experts.has_post_expert_norm:
        out = experts.post_expert_norm(out)
    shares = _shares(chosen, weights, experts.num_experts)
    return (out * shares.to(out.dtype)).sum(0).to(hidden.dtype)


def _few(pairs: int | torch.SymInt, experts: int) -> bool:
    """Whether so few experts are read that copying them is the lesser work; a free batch size counts as many."""
    return isinstance(pairs, int) and pairs < experts


def _project(experts: Any, name: str, x: Tensor) -> Tensor:
    """``[1 | E, T, in]`` through the matrices of that name: ``[E, T, out]``."""
    weight = getattr(experts, name)
    out: Tensor = x @ (weight if experts.is_transposed else weight.transpose(1, 2))
    return out + getattr(experts, f"{name}_bias").unsqueeze(1) if experts.has_bias else out


def _shares(chosen: Tensor, weights: Tensor, experts: int) -> Tensor:
    """The weight of each expert for each token, 0 where it was not chosen: ``[E, T, 1]``."""
    numbers = torch.arange(experts, device=chosen.device).reshape(-1, 1, 1)
    shares: Tensor = (weights.unsqueeze(0) * (chosen.unsqueeze(0) == numbers)).sum(-1, keepdim=True)
    return shares
