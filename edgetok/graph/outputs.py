"""A program's graph with more outputs: how inner values are looked at from outside."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind, OutputSpec, TensorArgument
from torch.utils._pytree import tree_structure

from edgetok.errors import ExportFailed


def with_outputs(exported: ExportedProgram, names: Sequence[str]) -> tuple[ExportedProgram, dict[str, int]]:
    """A copy that also returns the values of some nodes, every tensor of a tuple by itself.

    Args:
        exported: left as it is.
        names: names of nodes of its graph.

    Returns:
        The copy, and how many tensors each name added, in order.

    Raises:
        ExportFailed: a node is not in the graph.
    """
    module = copy.deepcopy(exported.graph_module)
    nodes = {node.name: node for node in module.graph.nodes}
    missing = [name for name in names if name not in nodes]
    if missing:
        raise ExportFailed(
            f"cannot expose {', '.join(missing)}", why="the program's graph has no node of that name", hint=""
        )
    output = module.graph.output_node()
    added = {name: _tensors(module.graph, nodes[name]) for name in names}
    extra = [_distinct(module.graph, output, node) for group in added.values() for node in group]
    output.args = ((*_sequence(output.args[0]), *extra),)
    module.recompile()
    signature = copy.copy(exported.graph_signature)
    signature.output_specs = [*signature.output_specs, *(_spec(node) for node in extra)]
    calls = _with_leaves(exported, len(_sequence(output.args[0])))
    rebuilt_ = rebuilt(exported, module, signature=signature, calls=calls)
    return rebuilt_, {name: len(group) for name, group in added.items()}


def _with_leaves(exported: ExportedProgram, leaves: int) -> list[Any]:
    """The module call graph of a program that returns a flat tuple of ``leaves`` tensors."""
    calls = copy.copy(exported.module_call_graph)
    root = copy.copy(calls[0])
    root.signature = copy.copy(root.signature)
    if root.signature is not None:
        root.signature.out_spec = tree_structure(tuple(range(leaves)))
    return [root, *calls[1:]]


def _tensors(graph: fx.Graph, node: fx.Node) -> list[fx.Node]:
    """One node per tensor that ``node`` makes: itself, or its items."""
    values = node.meta["val"]
    if isinstance(values, torch.Tensor):
        return [node]
    items = {user.args[1]: user for user in node.users if user.target is operator.getitem}
    return [items.get(i) or _item(graph, node, i) for i in range(len(values))]


def _item(graph: fx.Graph, node: fx.Node, index: int) -> fx.Node:
    with graph.inserting_after(node):
        item = graph.call_function(operator.getitem, (node, index))
    item.meta.update({"val": node.meta["val"][index], "custom": node.meta.get("custom", {})})
    return item


def _distinct(graph: fx.Graph, output: fx.Node, node: fx.Node) -> fx.Node:
    """A copy, for a value that may be returned already or be an input."""
    with graph.inserting_before(output):
        copied = graph.call_function(torch.ops.aten.clone.default, (node,))
    copied.meta.update({"val": node.meta["val"], "custom": node.meta.get("custom", {})})
    return copied


def _spec(node: fx.Node) -> OutputSpec:
    return OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None)


def _sequence(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def rebuilt(
    exported: ExportedProgram, module: fx.GraphModule, *, signature: Any = None, calls: list[Any] | None = None
) -> ExportedProgram:
    """The same program around another graph module."""
    return ExportedProgram(
        root=module,
        graph=module.graph,
        graph_signature=signature or exported.graph_signature,
        state_dict=exported.state_dict,
        range_constraints=exported.range_constraints,
        module_call_graph=calls or exported.module_call_graph,
        example_inputs=None,
        constants=exported.constants,
        verifiers=exported.verifiers,
    )
