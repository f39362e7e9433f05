"""A node's history is kept, and not copied while lowering."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.fx.traceback import NodeSource

from edgetok.provenance import shared_provenance, traceable


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


def test_a_module_is_traced_again_whatever_traced_it_before():
    """As dynamo's annotations differ by what ran in the process: without help torch refuses such a module."""
    exported = torch.export.export(Two(), (torch.ones(2),))
    placeholder = next(iter(exported.graph.nodes))
    placeholder.meta["custom"] = {"_torchdynamo_disable_method": "another", "edgetok": {"kept": True}}
    module = traceable(exported)
    assert next(iter(module.graph.nodes)).meta["custom"] == {"edgetok": {"kept": True}}
    assert placeholder.meta["custom"]["_torchdynamo_disable_method"] == "another"
    assert torch.export.export(module, (torch.ones(2),)).module()(torch.ones(2)).tolist() == [2.0, 2.0]


def _passes(source: NodeSource) -> list[str]:
    return [f"{source.name}:{source.pass_name}", *(line for one in source.from_node for line in _passes(one))]
