"""What tokens receive from attention."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgetok.errors import UnsupportedModel
from edgetok_plugins.mc_moe.attention import NAME, received, watch
from edgetok_plugins.mc_moe.experts.find import find_blocks

B, HEADS, KEY_HEADS, T, D = 2, 4, 2, 7, 8


def by_definition(query, key, seen, bias):
    """``a_j = sum_i A_ij / n_j``, token by token."""
    out = torch.zeros(B, T)
    for b in range(B):
        mean = torch.zeros(T, T)
        for head in range(HEADS):
            scores = query[b, head] @ key[b, head * KEY_HEADS // HEADS].T + bias
            mean += scores.masked_fill(~seen, -torch.inf).softmax(-1) / HEADS
        for j in range(T):
            out[b, j] = mean[:, j].sum() / seen[:, j].sum()
    return out


CAUSAL = torch.ones(T, T).tril().bool()
BIAS = torch.randn(T, T, generator=torch.Generator().manual_seed(3))
MASKS = {
    "none": (None, torch.ones(T, T).bool(), torch.zeros(T, T)),
    "causal": (CAUSAL, CAUSAL, torch.zeros(T, T)),
    "added": (BIAS.masked_fill(~CAUSAL, torch.finfo(torch.float32).min), CAUSAL, BIAS),
}


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("exporting", [False, True])
def test_by_definition(kind, exporting, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: exporting)
    made = torch.Generator().manual_seed(0)
    query, key = (torch.randn(B, heads, T, D, generator=made) for heads in (HEADS, KEY_HEADS))
    mask, seen, bias = MASKS[kind]
    given = None if mask is None else mask[None, None]
    torch.testing.assert_close(received(query, key, given), by_definition(query, key, seen, bias))


def test_a_models_own_attention_weights_say_the_same(build):
    """Causal, with shared key heads; what eager attention returns against what is computed beside a fused one."""
    ids = torch.arange(18).reshape(2, 9) * 7 % 64
    left = {}
    for kind in ("eager", "sdpa"):
        model = build("Mixtral", "Model", num_attention_heads=4, num_key_value_heads=2)
        model.set_attn_implementation(kind)
        seen = watch(model, find_blocks(model))
        with torch.no_grad():
            out = model(input_ids=ids, use_cache=False).last_hidden_state
        left[kind] = [out, *(each.take() for each in seen.values())]
        assert all(each.take() is None for each in seen.values())
    for eager, fused in zip(*left.values(), strict=True):
        torch.testing.assert_close(fused, eager, atol=1e-5, rtol=1e-4)
    assert len(left["sdpa"]) == 3


def test_only_the_attentions_that_are_watched_change(build):
    model = build("Olmoe", "Model")
    watch(model, find_blocks(model)[:1])
    kinds = [layer.self_attn.config._attn_implementation for layer in model.layers]
    assert kinds == [NAME, "sdpa"]
    assert model.config._attn_implementation == "sdpa"


def test_a_layer_without_an_attention_of_transformers_is_refused_with_the_way_out(build):
    model = build("Olmoe", "Model")
    model.layers[0].self_attn = nn.Identity()
    with pytest.raises(UnsupportedModel, match="odp_protect=0"):
        watch(model, find_blocks(model))
