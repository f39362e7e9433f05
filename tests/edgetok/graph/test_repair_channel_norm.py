"""Batch norm between attentions: of channels it runs on fewer tokens, of tokens it gets all of them back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

N, C = 16, 8


class Normed(nn.Module):
    """Attention and batch norm, over channels twice or over tokens once; outputs a mean."""

    def __init__(self, over: str) -> None:
        super().__init__()
        self.over = over
        blocks = 2 if over == "channels" else 1
        self.attention = nn.ModuleList(nn.MultiheadAttention(C, 2, batch_first=True) for _ in range(blocks))
        self.norms = nn.ModuleList(nn.BatchNorm1d(C if over == "channels" else N) for _ in range(blocks))
        for norm in self.norms:
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        for attention, norm in zip(self.attention, self.norms, strict=True):
            x = x + attention(x, x, x, need_weights=False)[0]
            x = norm(x.transpose(1, 2)).transpose(1, 2) if self.over == "channels" else norm(x)
        return x.mean(1)


def entering(program, axis: int) -> list[int]:
    """The size of an axis of what enters each batch norm of a program."""
    nodes = [node for node in program.graph.nodes if "batch_norm" in str(node.target)]
    return [node.args[0].meta["val"].shape[axis] for node in nodes]


@pytest.mark.parametrize(("over", "axis", "tokens"), [("channels", 2, [N - 3, N - 6]), ("tokens", 1, [N])])
def test_a_norm_of_channels_runs_on_fewer_tokens_and_one_of_tokens_on_all(lab, over, axis, tokens):
    torch.manual_seed(0)
    module = Normed(over).eval()
    program = lab.capture(module, {"x": lab.twins_of(2, N, C, 6)})
    rewritten = lab.check_lossless(module, program, lab.twins, 3, lambda batch: {"x": lab.twins_of(batch, N, C, 6)})
    assert entering(rewritten, axis) == tokens
