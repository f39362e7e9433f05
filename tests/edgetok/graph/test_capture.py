"""Capturing: what comes in and out, and what is refused with the place in the model's code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetok.errors import CaptureFailed
from edgetok.graph import capture, rewrite
from edgetok.model import Component


def test_data_dependent_control_flow_is_named(lab):
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.sum() > 0:
                return x
            return -x

    with pytest.raises(CaptureFailed, match=r"test_capture\.py:\d+ in forward"):
        lab.capture(Branch(), {"x": torch.randn(2, 3)})


def test_side_effects_are_refused(lab):
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls.add_(1)
            return x + self.calls

    with pytest.raises(CaptureFailed, match="calls"):
        lab.capture(Counter(), {"x": torch.randn(2, 3)})


def test_a_cache_that_changes_is_named_with_the_way_out(lab):
    class Cached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("keys", torch.zeros(2, 4, 3))

        def forward(self, x: Tensor) -> Tensor:
            self.keys.copy_(torch.cat([self.keys[:, 1:], x], 1))
            return x + self.keys.mean(1, keepdim=True)

    with pytest.raises(CaptureFailed) as caught:
        lab.capture(Cached(), {"x": torch.randn(2, 1, 3)})
    assert "changes keys in place" in caught.value.why
    assert "an input and an output" in caught.value.hint


def test_a_branch_in_the_graph_is_refused(lab):
    class Conditional(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,))

    with pytest.raises(CaptureFailed, match="function of its inputs"):
        lab.capture(Conditional(), {"x": torch.randn(2, 3)})


def test_outputs_have_names_and_only_tensors_count(lab):
    class Nested(nn.Module):
        def forward(self, x: Tensor) -> dict[str, object]:
            return {"last": x + 1, "states": (x * 2, None, (x * 3, 5)), "more": {"deep": x.sum(1)}, "none": None}

    program = lab.capture(Nested(), {"x": torch.randn(2, 3)})
    assert [(o.name, o.shape) for o in program.outputs] == [
        ("last", ("batch", 3)),
        ("states.0", ("batch", 3)),
        ("states.2.0", ("batch", 3)),
        ("more.deep", ("batch",)),
    ]
    x = torch.randn(4, 3)
    found = lab.run(rewrite(program), {"x": x})
    assert [torch.equal(a, b) for a, b in zip(found, (x + 1, x * 2, x * 3, x.sum(1)), strict=True)] == [True] * 4


def test_unnamed_outputs_are_counted(lab):
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x + 1

    assert [o.name for o in lab.capture(Pair(), {"x": torch.randn(2, 3)}).outputs] == ["output_0", "output_1"]


def test_a_batch_that_the_model_fixes_is_fixed_with_a_note(lab):
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(2, 3) * 2

    program = lab.capture(Fixed(), {"x": torch.randn(2, 3)})
    assert program.dynamic == {}
    assert program.inputs[0].shape == (2, 3)
    assert "the batch is fixed" in program.notes[0]


def test_capture_leaves_the_module_alone():
    module = nn.Linear(3, 3)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    program = capture(Component("model", module, {"input": torch.randn(2, 3)}, {"input": {0: "batch"}}))
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert set(program.exported.state_dict) == set(before)


def test_sizes_of_outputs_are_told_in_the_names_of_the_inputs_axes():
    class Frames(nn.Module):
        def forward(self, x):
            return x.flatten(0, 1), x.sum(2), x.sum((1, 2))

    axes = {0: "batch", 1: "frames"}
    program = capture(Component("model", Frames(), {"x": torch.randn(2, 5, 3)}, {"x": axes}))
    assert [spec.shape for spec in program.outputs] == [("batch*frames", 3), ("batch", "frames"), ("batch",)]
