"""Capturing: what comes in and out, and what is refused with the place in the model's code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetok.errors import CaptureFailed


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


def test_a_branch_in_the_graph_is_refused(lab):
    class Conditional(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,))

    with pytest.raises(CaptureFailed, match="function of its inputs"):
        lab.capture(Conditional(), {"x": torch.randn(2, 3)})
