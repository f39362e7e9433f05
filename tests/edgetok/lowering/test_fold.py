"""Constants made while running become constants of the program."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edgetok.lowering.fold import PREFIX, fold


class Call(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.forward = function


def exported(function: Any, *inputs: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(Call(function), inputs).run_decompositions({})


def operations(program: torch.export.ExportedProgram) -> list[str]:
    return [node.target.__name__ for node in program.graph.nodes if node.op == "call_function"]


def test_what_depends_on_no_input_is_evaluated():
    x = torch.randn(3, 3)
    program = exported(lambda x: x * (torch.ones(3, 3).tril(-1) + torch.arange(3.0)), x)
    folded = fold(program)
    assert operations(folded) == ["mul.Tensor"]
    assert torch.equal(folded.module()(x), program.module()(x))
    assert "tril.default" in operations(program), "the program given is left as it is"


def test_what_reads_only_a_shape_is_evaluated():
    x = torch.randn(2, 3)
    folded = fold(exported(lambda x: x + torch.ones_like(x) * x.new_full((3,), 2.0), x))
    assert operations(folded) == ["add.Tensor"]
    assert torch.equal(folded.module()(x), x + 2)


def test_equal_constants_stay_apart():
    """XNNPACK crashes where one constant is the weight of a linear layer and an operand of an addition."""
    x = torch.randn(2, 3)
    folded = fold(exported(lambda x: nn.functional.linear(x, torch.eye(3)) @ torch.eye(3) + torch.eye(3)[:2], x))
    names = [spec.target for spec in folded.graph_signature.input_specs if str(spec.target).startswith(PREFIX)]
    assert len(names) == len(set(names)) == 3


def test_a_program_without_constants_is_returned_as_it_is():
    program = exported(lambda x: x * x, torch.randn(2))
    assert fold(program) is program
