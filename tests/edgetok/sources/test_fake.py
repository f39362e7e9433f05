"""Fake parameters, real buffers."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from edgetok.sources.fake import fake_mode, fake_parameters


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("table", torch.arange(5), persistent=False)


def test_parameters_are_fake_and_buffers_hold_values() -> None:
    with fake_parameters():
        module = Tied()
    assert all(isinstance(parameter.data, FakeTensor) for parameter in module.parameters())
    assert module.first.weight.shape == (4, 4)
    assert module.table.tolist() == [0, 1, 2, 3, 4]
    assert module.norm.running_var.tolist() == [1.0] * 4


def test_it_ends_with_its_block() -> None:
    with pytest.raises(RuntimeError, match="inside"), fake_parameters():
        raise RuntimeError("inside")
    assert not isinstance(nn.Linear(2, 2).weight.data, FakeTensor)


def test_fake_weights_take_no_memory() -> None:
    with fake_parameters():
        module = nn.Linear(1 << 12, 1 << 12)
    assert module.weight.untyped_storage().device.type == "meta"


def test_the_mode_is_that_of_the_parameters() -> None:
    with fake_parameters() as mode:
        module = Tied()
    assert fake_mode(module) is mode
    with pytest.raises(ValueError, match="BatchNorm1d has no fake parameters"):
        fake_mode(nn.BatchNorm1d(4))
