"""Normalising changes no bit of what a program computes, and leaves a graph that says what it returns."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgetok.graph import rewrite
from edgetok.graph.nodes import op_name


class Cluttered(nn.Module):
    """Copies, casts to the same type, slices of everything, dropout, checks and views."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.dropout(self.linear(x)).clone().contiguous().to(torch.float32)[:, :].expand(-1, 5, -1) + 0
        torch._check(y.shape[1] == 5)
        h = y.view(-1, 5, 2, 4).transpose(1, 2)
        out = F.scaled_dot_product_attention(h, h, h, attn_mask=torch.ones(5, 5, dtype=torch.bool))
        return {"out": out.transpose(1, 2).reshape(-1, 5, 8), "same": x, "copy": x.clone(), "dropped": self.dropout(y)}


def test_nothing_is_left_but_what_computes(lab):
    module = Cluttered().eval()
    x = torch.randn(3, 5, 8)
    program = lab.capture(module, {"x": x})
    names = {op_name(node) for node in program.graph.nodes if node.op == "call_function"}
    assert names <= {"linear", "reshape", "transpose", "scaled_dot_product_attention", "sym_size", "mul"}
    assert [spec.name for spec in program.outputs] == ["out", "same", "copy", "dropped"]
    wanted = module(x)
    for run in (lab.run(program), lab.run(rewrite(program))):
        assert all(torch.equal(a, b) for a, b in zip(run, wanted.values(), strict=True))


def test_the_signature_names_nodes_that_exist(lab):
    program = lab.capture(Cluttered(), {"x": torch.randn(3, 5, 8)})
    names = {node.name for node in program.graph.nodes}
    assert set(program.exported.graph_signature.user_outputs) <= names
    assert [node.name for node in program.results] == list(program.exported.graph_signature.user_outputs)


def test_attention_over_views_runs_with_other_strides(lab):
    """A captured ``view`` after attention needs strides that a mask changes."""

    class Viewed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = x.view(x.shape[0], 6, 2, 4).transpose(1, 2)
            return F.scaled_dot_product_attention(h, h, h).transpose(1, 2).reshape(x.shape[0], 6, 8)

    program = lab.capture(Viewed(), {"x": torch.randn(2, 6, 8)})
    assert "view" not in {op_name(node) for node in program.graph.nodes}
    x = torch.randn(4, 8, 6).transpose(1, 2)
    assert lab.run(program, {"x": x})[0].shape == (4, 6, 8)
