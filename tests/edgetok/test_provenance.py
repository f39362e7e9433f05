"""A node's history is kept, and not copied while lowering."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.fx.traceback import NodeSource

from edgetok.provenance import shared_provenance


class Two(torch.nn.Module):
    def forward(self, x):
        return x.relu() + 1


def test_it_is_shared_inside_and_copied_outside():
    source = NodeSource(None, "pass")
    with shared_provenance():
        with shared_provenance():
            assert copy.deepcopy(source) is source
        assert copy.deepcopy([source])[0] is source
    assert copy.deepcopy(source) is not source


def test_an_error_inside_leaves_nothing_behind():
    with pytest.raises(ValueError, match="inside"), shared_provenance():
        raise ValueError("inside")
    assert not hasattr(NodeSource, "__deepcopy__")


def test_histories_are_those_of_pytorch():
    def histories() -> list[str]:
        exported = torch.export.export(Two(), (torch.ones(2),)).run_decompositions()
        nodes = (node for node in exported.graph.nodes if "from_node" in node.meta)
        return [" < ".join(_passes(node.meta["from_node"][0])) for node in nodes]

    plain = histories()
    with shared_provenance():
        assert histories() == plain
    assert any("<" in line for line in plain)


def _passes(source: NodeSource) -> list[str]:
    return [f"{source.name}:{source.pass_name}", *(line for one in source.from_node for line in _passes(one))]
