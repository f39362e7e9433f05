"""What the card says of the trained model: perplexity by source, and how unlike the sources are routed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import data
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from transformers import MixtralForCausalLM


@torch.no_grad()
def measure(model: MixtralForCausalLM) -> dict[str, Any]:
    """Perplexity a byte of every source's held-out windows, and its routing, layer by layer.

    Routing is told as the entropy of the shares of the experts in bits (3 where all eight are used alike) of every
    source and of all text, and as the share of each expert (of 2 a token) over all text.
    """
    model.eval()
    ids = torch.from_numpy(data.windows("held_out", data.HELD_OUT_WINDOWS)).long()
    losses, shares = {}, {}
    for place, source in enumerate(data.SOURCES):
        part = ids[place :: len(data.SOURCES)]
        out = model(input_ids=part, output_router_logits=True)
        losses[source] = float(cross_entropy(out.logits[:, :-1].flatten(0, 1), part[:, 1:].flatten()))
        shares[source] = torch.stack([_shares(logits) for logits in out.router_logits])
    whole = torch.stack(list(shares.values())).mean(0)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "held_out_windows": data.HELD_OUT_WINDOWS,
        "perplexity": {source: math.exp(loss) for source, loss in losses.items()},
        "perplexity_all": math.exp(sum(losses.values()) / len(losses)),
        "entropy": {source: _entropy(share) for source, share in {**shares, "all": whole}.items()},
        "shares": [[round(float(value), 4) for value in layer] for layer in whole],
    }


def _shares(logits: Tensor) -> Tensor:
    """Of router logits ``[tokens, experts]``: the part of all choices that went to each expert, ``[experts]``."""
    chosen = logits.topk(2, dim=-1).indices
    return torch.bincount(chosen.flatten(), minlength=logits.shape[-1]) / chosen.numel()


def _entropy(shares: Tensor) -> list[float]:
    """Of ``[layers, experts]``, in bits."""
    return [round(float(value), 3) for value in -(shares * shares.clamp_min(1e-12).log2()).sum(1)]
