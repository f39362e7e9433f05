import torch
from torch import nn

from edgetok.graph import capture
from edgetok.precision import TensorFormat
from edgetok.sources import from_module
from edgetok_plugins.quantize.weights import formats


class Tied(nn.Module):
    """An embedding whose weight is also the head's, a convolution, and two linear layers."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 32)
        self.conv = nn.Conv1d(32, 32, 3, padding=1)
        self.inner = nn.Linear(32, 48)
        self.outer = nn.Linear(48, 32)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        x = self.conv(self.embed(ids).transpose(1, 2)).transpose(1, 2)
        return self.head(self.norm(self.outer(self.inner(x).relu())))


def program():
    return capture(from_module(Tied().eval(), torch.randint(0, 11, (2, 5))).only)


def test_linear_layers_and_convolutions_but_nothing_shared():
    assert formats(program(), "int8", 32, ()) == {
        name: TensorFormat("int8", "channel") for name in ("conv.weight", "inner.weight", "outer.weight")
    }


def test_skipped_names_stay():
    assert set(formats(program(), "int8", 32, ("inner", "conv"))) == {"outer.weight"}


def test_int4_takes_linear_layers_whose_inputs_the_group_divides():
    assert formats(program(), "int4", 32, ()) == {"inner.weight": TensorFormat("int4", "group", 32)}
    assert set(formats(program(), "int4", 16, ())) == {"inner.weight", "outer.weight"}
