"""What happens to a program before ``torch.onnx`` sees it: extra outputs, a batch of one known size, plain layouts."""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
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


def with_batch(exported: ExportedProgram, dynamic: Mapping[str, Mapping[int, str]], size: int) -> ExportedProgram:
    """A copy whose batch is ``size``: inputs here, everything downstream when ``torch.onnx`` traces it again.

    Args:
        exported: left as it is.
        dynamic: symbolic axes by placeholder.
        size: the one batch size.

    Raises:
        ExportFailed: the program has a fixed batch already, and it is another.
    """
    module = copy.deepcopy(exported.graph_module)
    users = set(exported.graph_signature.user_inputs)
    inputs = [n for n in module.graph.nodes if n.op == "placeholder" and n.name in users]
    for node in inputs:
        value = node.meta["val"]
        axes = [a for a, symbol in dynamic.get(node.name, {}).items() if symbol == "batch"]
        if not axes or not isinstance(value, torch.Tensor):
            continue
        shape = [size if axis in axes else n for axis, n in enumerate(value.shape)]
        with value.fake_mode:  # type: ignore[attr-defined]
            node.meta["val"] = torch.empty(shape, dtype=value.dtype, device=value.device)
    if not any("batch" in axes.values() for axes in dynamic.values()):
        _check_fixed(inputs, size)
    return rebuilt(exported, module)


def with_plain_layouts(exported: ExportedProgram) -> ExportedProgram:
    """A copy that lays transposed values out anew before reshaping them; in ONNX that costs nothing.

    Decomposing freezes a reshape as a view of the strides its input has in that trace. A later trace may decompose the
    attention in front of it otherwise, whose result has other strides.
    """
    module = copy.deepcopy(exported.graph_module)
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.reshape.default):
        source = node.args[0]
        if isinstance(source, fx.Node) and source.target in _MOVES:
            with module.graph.inserting_before(node):
                copied = module.graph.call_function(
                    torch.ops.aten.clone.default, (source,), {"memory_format": torch.contiguous_format}
                )
            copied.meta.update({"val": source.meta["val"].contiguous(), "custom": node.meta.get("custom", {})})
            node.replace_input_with(source, copied)
    module.recompile()
    return rebuilt(exported, module)


_MOVES = frozenset({torch.ops.aten.transpose.int, torch.ops.aten.permute.default})


def _check_fixed(inputs: Sequence[fx.Node], size: int) -> None:
    found = {int(node.meta["val"].shape[0]) for node in inputs if node.meta["val"].dim()}
    if found - {size}:
        raise ExportFailed(
            f"the program cannot be exported with batch {size}",
            why=f"it was captured with a fixed batch of {', '.join(map(str, sorted(found)))}",
            hint="capture it with a dynamic batch axis, or export the batch it has",
        )


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
