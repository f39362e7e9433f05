"""The free-drop ceiling: the merged program's schedule with tokens sliced off, no matching and no size bias.

No method that leaves the same numbers of tokens after the same layers can be faster than this.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import fx

from edgetok.graph import Program
from edgetok.graph.outputs import rebuilt

aten = torch.ops.aten


def free_drop(merged: Program) -> Program:
    """A program that slices where ``merged`` merges."""
    module = copy.deepcopy(merged.exported.graph_module)
    graph = module.graph
    for node in list(graph.nodes):
        if node.target == torch.ops.edgetok.reduce.default and node.args[-1] == "mean":
            _slice_instead(graph, node)
        elif node.target == aten.scaled_dot_product_attention.default:
            node.args = node.args[:3]
            node.kwargs = {key: value for key, value in node.kwargs.items() if key != "attn_mask"}
    graph.eliminate_dead_code()
    left = [node.name for node in graph.nodes if "edgetok" in str(node.target)]
    assert not left, f"not sliced: {left}"
    module.recompile()
    return replace(merged, exported=rebuilt(merged.exported, module))


def _slice_instead(graph: fx.Graph, node: fx.Node) -> None:
    tokens = int(node.meta["val"].shape[1])
    with graph.inserting_before(node):
        sliced = graph.call_function(aten.slice.Tensor, (node.args[0], 1, 0, tokens))
    sliced.meta.update(node.meta)
    node.replace_all_uses_with(sliced)
    graph.erase_node(node)
