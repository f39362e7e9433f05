"""``scaled_dot_product_attention`` as matmul, add and softmax: what every runtime has, without frozen strides."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def explicit_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key^T * scale + mask) @ value``, as torch defines it.

    Args:
        query: ``[..., heads, L, d]``.
        key: ``[..., heads, S, d]``, with fewer heads where ``enable_gqa``.
        value: ``[..., heads, S, dv]``.
        attn_mask: added where floating; where bool, False is masked by the lowest finite number.
        dropout_p: ignored: an exported program is in evaluation mode.
        is_causal: mask what lies ahead.
        scale: 1 / sqrt(d) by default.
        enable_gqa: repeat heads of key and value to those of the query.
    """
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(repeats, -3), value.repeat_interleave(repeats, -3)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        shape = (query.shape[-2], key.shape[-2])
        attn_mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None:
        scores = scores + _additive(attn_mask, scores)
    return scores.softmax(-1) @ value


def _additive(mask: Tensor, scores: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    lowest = torch.finfo(scores.dtype).min
    return torch.where(mask, torch.zeros((), dtype=scores.dtype), torch.full((), lowest, dtype=scores.dtype))
