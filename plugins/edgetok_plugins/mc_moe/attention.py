"""How much attention each token receives, on the way from an attention to the experts behind it.

``a_j = sum_i A_ij / n_j``: ``A`` are attention weights, averaged over heads, and ``n_j`` is how many tokens ``i`` can
see ``j``; in a causal model of ``L`` tokens these are ``L - j``. Fused attention does not give its weights away, so
that queries and keys are multiplied once more.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgetok.errors import UnsupportedModel
from edgetok_plugins.mc_moe.experts.find import Block

NAME = "edgetok-received"
"""Of the attention that returns, beside its output, what each token receives."""


@dataclass
class Received:
    """What the attention of a layer left for its experts: ``[sequences, tokens]`` until it is taken."""

    value: Tensor | None = None

    def take(self) -> Tensor | None:
        """What was left, once."""
        value, self.value = self.value, None
        return value


def watch(model: nn.Module, blocks: Iterable[Block]) -> dict[str, Received]:
    """Let the attention in front of each block leave what tokens receive; by the name of the block.

    Raises:
        UnsupportedModel: a layer has no attention that gives it.
    """
    changed: dict[int, Any] = {}
    found = {}
    for block in blocks:
        attention = _attention(model, block)
        config: Any = attention.config
        if config._attn_implementation == "sdpa":
            attention.config = changed.setdefault(id(config), _own(config))
        left = found[block.name] = Received()
        attention.register_forward_hook(lambda _module, _args, out, left=left: _leave(left, out))
    return found


def _attention(model: nn.Module, block: Block) -> Any:
    layer = re.match(r"(.+?\.\d+)\.", block.name)
    children = model.get_submodule(layer[1]).children() if layer else ()
    fitting = [child for child in children if type(child).__name__.endswith("Attention") and hasattr(child, "config")]
    if len(fitting) == 1:
        return fitting[0]
    raise UnsupportedModel(
        f"The layer of {block.name} has no attention that says which tokens matter.",
        why=f"{len(fitting)} of its modules are attentions of transformers",
        hint="Set odp_protect=0: experts are pruned for all tokens alike then.",
    )


def _own(config: Any) -> Any:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if NAME not in ALL_ATTENTION_FUNCTIONS:
        ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
    made = copy.deepcopy(config)
    made._attn_implementation = NAME
    return made


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor]:
    """As transformers' ``sdpa``; with what tokens receive, ``[batch, tokens]``, in the place of the weights."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    stated = options.get("is_causal")
    causal = attention_mask is None and bool(getattr(module, "is_causal", True) if stated is None else stated)
    scaling = options.get("scaling")
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    mask = _causal(query, key) if causal else attention_mask
    return out, received(query * scale, key, mask)


def received(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """What each of the last ``T`` tokens receives, ``[B, T]``.

    Args:
        query: scaled, ``[B, heads, T, d]``.
        key: ``[B, key heads, S, d]``; each serves as many queries.
        mask: ``[B | 1, heads | 1, T, S]``: bool, true where a token is seen, or added to scores.
    """
    heads, length, wide = query.shape[1], query.shape[2], key.shape[1]
    grouped = query.reshape(query.shape[0], wide, -1, length, query.shape[3])
    if torch.compiler.is_exporting():
        spread = None if mask is None else mask.expand(-1, heads, -1, -1)
        spread = None if spread is None else spread.reshape(spread.shape[0], wide, -1, *spread.shape[2:])
        total = _total(grouped, key.unsqueeze(2), spread).flatten(1, 2).mean(1)
    else:
        total = torch.stack([_row(grouped[row], key[row], _of_row(mask, row, heads)) for row in range(len(query))])
    return _shared(total, None if mask is None else _seen(mask).any(1), length)


def _row(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """``[key heads, group, T, d]`` of one sequence, head by head: memory for the weights of one group. ``[S]``."""
    masks = None if mask is None else mask.reshape(len(key), -1, *mask.shape[1:])
    parts = [_total(query[head], key[head], None if masks is None else masks[head]) for head in range(len(key))]
    return torch.cat(parts).mean(0)


def _of_row(mask: Tensor | None, row: int, heads: int) -> Tensor | None:
    return None if mask is None else mask[row % len(mask)].expand(heads, -1, -1)


def _total(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """The sum over queries of attention weights, ``[..., S]``."""
    scores = query @ key.transpose(-1, -2)
    if mask is not None:
        hidden = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~mask, hidden) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1).sum(-2)


def _seen(mask: Tensor) -> Tensor:
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def _shared(total: Tensor, seen: Tensor | None, length: int) -> Tensor:
    """Totals ``[B, S]`` over how many of ``length`` tokens see each, of the last ``length``."""
    count = length if seen is None else seen.to(total.dtype).sum(-2).clamp(min=1)
    return (total / count)[:, -length:]


def _causal(query: Tensor, key: Tensor) -> Tensor:
    length, width = query.shape[2], key.shape[2]
    rows, columns = (torch.arange(size, device=query.device) for size in (length, width))
    return (rows.unsqueeze(1) + (width - length) >= columns)[None, None]


def _leave(left: Received, out: Any) -> None:
    """Eager attention returns its weights ``[B, heads, T, S]`` themselves."""
    given = out[1]
    if given.dim() > 2:
        given = _shared(given.mean(1).sum(-2), (given > 0).any(1), given.shape[2])
    left.value = given
