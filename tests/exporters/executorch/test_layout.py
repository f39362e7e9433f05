"""Each replacement gives the values of the operation it replaces, without the operations that cut a delegate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgetok_exporters.executorch.layout import XNNPACK
from edgetok_exporters.executorch.tidy import tidy

X = torch.randn((2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
Y = torch.randn((2, 3, 5, 6), generator=torch.Generator().manual_seed(1))
LAYER_NORM = (torch.linspace(0.5, 2, 5), torch.linspace(-1, 1, 5))

CASES: dict[str, Any] = {
    "matmul 4d": lambda x, y: x @ y,
    "matmul 3d": lambda x, y: x[0] @ y[0],
    "matmul by a matrix": lambda x, y: x @ y[0, 0],
    "matmul by a vector": lambda x, y: x @ y[0, 0, :, 0],
    "matmul that broadcasts": lambda x, y: x @ y[:, :1],
    "squeeze": lambda x, y: x[:, :1].squeeze(1) + y.sum(),
    "squeeze of a longer axis": lambda x, y: x.squeeze(1),
    "unsqueeze": lambda x, y: x.unsqueeze(-1) * x.unsqueeze(-2),
    "select": lambda x, y: x.select(1, -1),
    "expand that repeats nothing": lambda x, y: x.expand(2, -1, 4, 5),
    "expand that repeats": lambda x, y: x[:, :1].expand(-1, 3, -1, -1),
    "layer norm": lambda x, y: F.layer_norm(x, (5,), *LAYER_NORM, eps=1e-6),
    "layer norm without weights": lambda x, y: F.layer_norm(x, (5,)),
    "layer norm over two axes": lambda x, y: F.layer_norm(x, (4, 5)),
    "sum": lambda x, y: x.sum(-1),
    "sum keepdim": lambda x, y: x.sum(1, keepdim=True),
    "sum over two axes": lambda x, y: x.sum((1, 2)),
    "mean": lambda x, y: x.mean(1),
    "mean keepdim": lambda x, y: x.mean(-1, keepdim=True),
    "amax": lambda x, y: x.amax(-1),
    "amax keepdim": lambda x, y: x.amax(-1, keepdim=True),
    "amax over another axis": lambda x, y: x.amax(1),
    "whole numbers": lambda x, y: (1 - x) * 3 + 2 - x / 2,
    "reshapes": lambda x, y: (x * y[..., :1].mT).reshape(6, 20).reshape(2, 60).reshape(2, 3, 4, 5) * 2,
}


class Call(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.forward = function


def prepared(function: Any, *inputs: Tensor) -> torch.export.ExportedProgram:
    return tidy(torch.export.export(Call(function), inputs).run_decompositions(dict(XNNPACK)))


def operations(program: torch.export.ExportedProgram) -> list[str]:
    return [node.target.__name__.split(".")[0] for node in program.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("function", CASES.values(), ids=CASES)
def test_values_are_kept(function):
    found = prepared(function, X, Y).module()(X, Y)
    torch.testing.assert_close(found, function(X, Y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["matmul 4d", "select", "layer norm", "sum", "mean", "amax", "unsqueeze", "squeeze"])
def test_what_cuts_a_delegate_is_gone(name):
    cuts = {"matmul", "select", "layer_norm", "mean", "amax", "squeeze", "unsqueeze", "expand"}
    left = set(operations(prepared(CASES[name], X, Y)))
    assert not left & cuts


def test_whole_numbers_are_floats_and_reshapes_are_one():
    program = prepared(CASES["whole numbers"], X, Y)
    scalars = [arg for node in program.graph.nodes for arg in node.args if isinstance(arg, int | float)]
    assert scalars
    assert all(type(arg) is float for arg in scalars)
    assert "reshape" not in operations(prepared(CASES["reshapes"], X, Y))
