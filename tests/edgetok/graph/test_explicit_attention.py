"""Attention written out becomes one operation, where that computes the same; elsewhere it stays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetok.graph.nodes import op_name

B, N, D, H = 2, 7, 4, 3


class Written(nn.Module):
    """``softmax(scores) v`` with the scores made by ``form``."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.bias = nn.Parameter(torch.randn(H, N, N))
        self.register_buffer("blocked", torch.rand(N, N) > 0.7)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return getattr(self, self.form)(q, k, v)

    def plain(self, q, k, v):
        return (q @ k.transpose(-1, -2)).softmax(-1) @ v

    def scaled(self, q, k, v):
        return ((q @ k.transpose(-1, -2)) * 0.3 / 2.0).softmax(-1) @ v

    def scaled_query(self, q, k, v):
        return ((q * 0.3) @ k.transpose(-1, -2)).softmax(3) @ v

    def biased(self, q, k, v):
        return ((q @ k.transpose(-1, -2)) / 2.0 + self.bias).softmax(-1) @ v

    def bias_first(self, q, k, v):
        return (self.bias + (q @ k.transpose(-1, -2)) * 0.5).softmax(-1) @ v

    def biased_twice(self, q, k, v):
        hidden = torch.zeros(N, N).masked_fill(self.blocked, -1e9)
        return ((q @ k.transpose(-1, -2)) / 2.0 + self.bias + hidden).softmax(-1) @ v

    def biased_twice_first(self, q, k, v):
        return (self.bias[:1] + (self.bias + (q @ k.transpose(-1, -2)) * 0.5)).softmax(-1) @ v

    def filled(self, q, k, v):
        return ((q @ k.transpose(-1, -2)).masked_fill(self.blocked, float("-inf")) * 0.5).softmax(-1) @ v

    def folded(self, q, k, v):
        q, k, v = (t.flatten(0, 1) for t in (q, k, v))
        return torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(-1), v)

    def biased_then_scaled(self, q, k, v):
        return ((q @ k.transpose(-1, -2) + self.bias) * 0.5).softmax(-1) @ v

    def filled_then_biased(self, q, k, v):
        return ((q @ k.transpose(-1, -2)).masked_fill(self.blocked, float("-inf")) + self.bias).softmax(-1) @ v

    def along_queries(self, q, k, v):
        return (q @ k.transpose(-1, -2)).softmax(-2) @ v

    def weights_too(self, q, k, v):
        weights = (q @ k.transpose(-1, -2)).softmax(-1)
        return weights @ v + weights.sum(-1, keepdim=True)

    def little_filled(self, q, k, v):
        return (q @ k.transpose(-1, -2)).masked_fill(self.blocked, -3.0).softmax(-1) @ v

    def mask_wider(self, q, k, v):
        return ((q[:1, :1] @ k[:1, :1].transpose(-1, -2)) + self.bias).softmax(-1) @ v

    def other_type(self, q, k, v):
        return (q @ k.transpose(-1, -2)).softmax(-1, dtype=torch.float64) @ v.double()

    def negated(self, q, k, v):
        return ((q @ k.transpose(-1, -2)) * -1.0).softmax(-1) @ v


def fused(lab, form: str) -> tuple[int, int]:
    torch.manual_seed(0)
    module = Written(form)
    inputs = {name: torch.randn(B, H, N, D) for name in "qkv"}
    program = lab.capture(module, inputs)
    (found,) = lab.run(program)
    torch.testing.assert_close(found, module(**inputs), rtol=1e-5, atol=1e-6)
    names = [op_name(node) for node in program.graph.nodes]
    return names.count("scaled_dot_product_attention"), names.count("softmax") + names.count("_softmax")


@pytest.mark.parametrize(
    "form",
    [
        "plain", "scaled", "scaled_query", "biased", "bias_first", "biased_twice", "biased_twice_first", "filled",
        "folded",
    ],
)  # fmt: skip
def test_written_attention_becomes_one_operation(lab, form):
    assert fused(lab, form) == (1, 0)


@pytest.mark.parametrize(
    "form",
    [
        "biased_then_scaled",
        "filled_then_biased",
        "along_queries",
        "weights_too",
        "little_filled",
        "mask_wider",
        "other_type",
        "negated",
    ],
)
def test_what_one_operation_does_not_compute_stays(lab, form):
    assert fused(lab, form) == (0, 1)
