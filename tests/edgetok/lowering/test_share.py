from __future__ import annotations

import torch
from torch import nn

from edgetok.lowering.share import share


class Model(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def shared(function, x):
    exported = torch.export.export(Model(function), (x,)).run_decompositions({})
    return share(exported)


def operations(exported):
    return [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]


def test_equal_operations_are_one():
    x = torch.randn(2, 6)
    found = shared(lambda x: x.reshape(3, 4).narrow(1, 0, 2) * x.reshape(3, 4).narrow(1, 2, 2), x)
    assert sum("view" in name or "reshape" in name for name in operations(found)) == 1
    assert sum("slice" in name for name in operations(found)) == 2
    assert torch.equal(found.module()(x), x.reshape(3, 4)[:, :2] * x.reshape(3, 4)[:, 2:])


def test_a_chain_of_equal_operations_is_one_chain():
    found = shared(lambda x: (x.exp() + 1) * (x.exp() + 1), torch.randn(3))
    assert [name.split(".")[1] for name in operations(found)] == ["exp", "add", "mul"]


def test_random_numbers_are_drawn_apart():
    found = shared(lambda x: torch.rand_like(x) - torch.rand_like(x), torch.zeros(8))
    assert sum("rand" in name for name in operations(found)) == 2


def test_a_whole_number_is_not_a_float():
    x = torch.arange(3)
    found = shared(lambda x: ((x + 1).float(), (x + 1.0).double()), x)
    whole, real = found.module()(x)
    assert whole.dtype == torch.float32
    assert real.dtype == torch.float64
    assert sum(".add." in name for name in operations(found)) == 2


def test_zeros_of_both_signs_are_apart():
    x = torch.randn(3)
    found = shared(lambda x: 1 / (x.abs() * 0.0) + 1 / (x.abs() * -0.0), x)
    assert found.module()(x).isnan().all()


def test_what_a_plugin_made_is_not_taken_for_the_models():
    x = torch.randn(2, 6)
    exported = torch.export.export(Model(lambda x: x.exp() * x.exp()), (x,)).run_decompositions({})
    second = [node for node in exported.graph.nodes if "exp" in str(node.target)][1]
    second.meta["custom"] = {"edgetok": {"plugin": "tome"}}
    assert sum("exp" in name for name in operations(share(exported))) == 2


def test_outputs_keep_their_names():
    x = torch.randn(3)
    found = shared(lambda x: (x.exp(), x.exp(), x.exp() + 1), x)
    names = [spec.arg.name for spec in found.graph_signature.output_specs]
    assert names == [node.name for node in found.graph.output_node().args[0]]
    assert len(found.module()(x)) == 3
