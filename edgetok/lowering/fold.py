"""Constants made while running (``arange``, ``ones``, ``tril``): evaluated once and kept as tensors of the program.

Delegates take operations on tensors, and weights; an operation that makes a tensor out of nothing cuts them.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

aten = torch.ops.aten
PREFIX = "edgetok_constant_"
SHAPE_ONLY = frozenset(
    {
        aten.new_ones.default, aten.new_zeros.default, aten.new_full.default,
        aten.ones_like.default, aten.zeros_like.default, aten.full_like.default,
    }
)  # fmt: skip
"""Operations that read only the shape and dtype of their input."""


def fold(exported: ExportedProgram) -> ExportedProgram:
    """A program whose nodes that depend on no placeholder are constants.

    Equal constants stay apart: XNNPACK packs one that is a weight, and crashes where an addition reads it too.

    Args:
        exported: functional, without symbolic sizes; left as it is.
    """
    module = copy.deepcopy(exported.graph_module)
    constants: dict[str, Tensor] = {}
    values = _evaluated(module.graph)
    for node in [node for node in values if _is_read(node, values)]:
        name = f"{PREFIX}{len(constants)}"
        constants[name] = values[node].detach().clone(memory_format=torch.contiguous_format)
        node.replace_all_uses_with(_placeholder(module.graph, name, node))
    module.graph.eliminate_dead_code()
    module.recompile()
    return _with_constants(exported, module, constants) if constants else exported


def _evaluated(graph: fx.Graph) -> dict[fx.Node, Tensor]:
    """The values of all nodes that no placeholder leads to."""
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        known = {given: _blank(given) for given in node.all_input_nodes} if node.target in SHAPE_ONLY else values
        if all(given in known for given in node.all_input_nodes):
            values[node] = node.target(*fx.map_arg(node.args, known.get), **fx.map_arg(node.kwargs, known.get))
    return values


def _blank(node: fx.Node) -> Tensor:
    """A tensor that is like a node's in all but its values."""
    value = node.meta["val"]
    return torch.empty(value.shape, dtype=value.dtype)


def _is_read(node: fx.Node, values: Mapping[fx.Node, Any]) -> bool:
    """Whether something that is no constant reads a constant tensor."""
    return isinstance(values[node], Tensor) and any(user not in values for user in node.users)


def _placeholder(graph: fx.Graph, name: str, like: fx.Node) -> fx.Node:
    """The placeholder of a constant, in front of all others."""
    with graph.inserting_before(next(iter(graph.nodes))):
        node = graph.placeholder(name)
    node.meta["val"] = like.meta["val"]
    return node


def _with_constants(
    exported: ExportedProgram, module: fx.GraphModule, constants: Mapping[str, Tensor]
) -> ExportedProgram:
    signature = copy.copy(exported.graph_signature)
    made = [node for node in module.graph.find_nodes(op="placeholder") if node.target in constants]
    specs = [InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(n.name), n.target) for n in made]
    signature.input_specs = [*specs, *signature.input_specs]
    return ExportedProgram(
        root=module,
        graph=module.graph,
        graph_signature=signature,
        state_dict=exported.state_dict,
        range_constraints=exported.range_constraints,
        module_call_graph=exported.module_call_graph,
        example_inputs=exported.example_inputs,
        constants={**exported.constants, **constants},
        verifiers=exported.verifiers,
    )
