"""Attention in every form that programs have, explicit and as one node."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgetok_exporters.onnx.attention import LONG

OPSETS = [18, 20, 23]


class Block(nn.Module):
    """Two attentions with a size bias between views: what ``torch.onnx`` by itself fails to decompose."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.ModuleList(nn.Linear(24, 72) for _ in range(3))

    def forward(self, x: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor]:
        for qkv in self.qkv:
            q, k, v = (t.view(*x.shape[:2], 4, 6).transpose(1, 2) for t in qkv(x).chunk(3, -1))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=sizes.log()[:, None, None, :])
            x = x + y.transpose(1, 2).reshape(x.shape)
        return (x,)


@pytest.mark.parametrize("opset", OPSETS)
def test_stacked_attention_with_a_size_bias(capture, trip, agree, opset):
    example = {"x": torch.randn(2, 11, 24), "sizes": torch.randint(1, 4, (2, 11)).float()}
    program = capture(Block(), example)
    runner = trip(program, opset=opset)
    agree(runner, program, example, atol=1e-5)
    agree(runner, program, {k: v[:1] for k, v in example.items()}, atol=1e-5)
    kinds = [node.op_type for node in onnx.load(trip.exported.entry).graph.node]
    assert kinds.count("Attention") == (3 if opset >= 23 else 0)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_bias_of_many_keys_is_a_channel(capture, trip, agree, batch):
    sizes = torch.randint(1, 4, (2, LONG)).float()
    sizes[:, -100:] = 0
    program = capture(Block(), {"x": torch.randn(2, LONG, 24), "sizes": sizes})
    runner = trip(program, opset=18)
    again = {"x": torch.randn(batch, LONG, 24), "sizes": sizes[:1].expand(batch, -1).contiguous()}
    agree(runner, program, again, atol=1e-5)
    kinds = [node.op_type for node in onnx.load(trip.exported.entry).graph.node]
    assert kinds.count("Pad") == 3


def test_a_long_bias_that_all_samples_share_is_added(capture, trip, agree):
    shared = torch.randn(1, 1, 1, LONG)

    def attend(q):
        return (F.scaled_dot_product_attention(q, q, q, attn_mask=shared),)

    program = capture(attend, {"q": torch.randn(2, 2, LONG, 4)})
    agree(trip(program, opset=18), program, {"q": torch.randn(3, 2, LONG, 4)}, atol=1e-5)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("mask", [(2, 1, 1, 9), (2, 1, 7, 9), (7, 9)], ids=str)
def test_bool_masks_hide_keys(capture, trip, agree, opset, mask):
    hidden = torch.rand(mask) > 0.4
    hidden[..., 0] = True
    batched = hidden.expand(2, *mask[1:]) if len(mask) == 4 else hidden.expand(2, 1, *mask)
    example = {"q": torch.randn(2, 3, 7, 8), "k": torch.randn(2, 3, 9, 8), "m": batched}

    def attend(q, k, m):
        return (F.scaled_dot_product_attention(q, k, k.flip(-1), attn_mask=m if len(mask) == 4 else m[0, 0]),)

    program = capture(attend, example)
    agree(trip(program, opset=opset), program, example, atol=1e-5)


@pytest.mark.parametrize("opset", OPSETS)
def test_causal_scaled_and_grouped(capture, trip, agree, opset):
    example = {"q": torch.randn(2, 4, 7, 8), "k": torch.randn(2, 2, 7, 8)}

    def attend(q, k):
        grouped = F.scaled_dot_product_attention(q, k, k.flip(-1), scale=0.2, enable_gqa=True)
        return grouped, F.scaled_dot_product_attention(q, q, q, is_causal=True)

    program = capture(attend, example)
    agree(trip(program, opset=opset), program, example, atol=1e-5)


@pytest.mark.parametrize("opset", OPSETS)
def test_three_dimensions(capture, trip, agree, opset):
    example = {"q": torch.randn(2, 7, 8), "k": torch.randn(2, 5, 8)}
    program = capture(lambda q, k: (F.scaled_dot_product_attention(q, k, k),), example)
    agree(trip(program, opset=opset), program, example, atol=1e-5)
