"""Normalisation: what every program passes before anything else, so that dense and optimised start equal.

Removed: copies and casts to the same type, dropout, assertions, masks that block nothing. Made uniform: ``view``
becomes ``reshape`` (capture freezes strides that later attention does not keep), explicit attention becomes
``scaled_dot_product_attention``, and a mask that only hides padding keys becomes ``(batch, 1, 1, keys)``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from edgetok.graph.dependence import data_inputs
from edgetok.graph.explicit_attention import fuse_attention
from edgetok.graph.masks import Mask, understand
from edgetok.graph.nodes import argument, mask_of, names, op_name, operand
from edgetok.graph.program import Program

aten = torch.ops.aten

_COPIES = frozenset({"clone", "alias", "detach", "detach_", "lift_fresh_copy", "contiguous"})
_CHECKS = frozenset({"_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range_for_size"})


def normalise(program: Program) -> Program:
    """Normalise a freshly captured program. Its graph is changed in place: nobody else has it yet."""
    graph, module = program.graph, program.exported.graph_module
    with module._set_replace_hook(program.exported.graph_signature.get_replace_hook()):
        for node in list(graph.nodes):
            _simplify(graph, node)
        fuse_attention(graph)
        paddings: dict[tuple[str, int], fx.Node] = {}
        for node, mask in understand_masks(program).items():
            _rewrite_mask(graph, node, mask, paddings)
    graph.eliminate_dead_code()
    module.recompile()
    return program


def placeholder_names(exported: ExportedProgram) -> dict[str, str]:
    """The state-dict name of every parameter, buffer and constant by its placeholder's name."""
    signature = exported.graph_signature
    return {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }


def constants(exported: ExportedProgram) -> dict[str, Any]:
    """Parameters, buffers and constants by placeholder name."""
    values = {**exported.state_dict, **exported.constants}
    return {placeholder: values[fqn] for placeholder, fqn in placeholder_names(exported).items() if fqn in values}


def understand_masks(program: Program) -> dict[fx.Node, Mask]:
    """What the mask of every attention of a program does."""
    graph, known = program.graph, constants(program.exported)
    data = data_inputs(graph, program.placeholders.values())
    users = {program.placeholders[name]: tensor for name, tensor in program.example.items()}
    seen: dict[tuple[fx.Node | None, int], Mask] = {}
    out = {}
    for node in graph.nodes:
        if op_name(node) != "scaled_dot_product_attention":
            continue
        mask, rank = mask_of(node), operand(node).meta["val"].dim()
        if (mask, rank) not in seen:
            seen[mask, rank] = understand(mask, rank, data[mask] if mask else frozenset(), known, users)
        out[node] = Mask("causal") if argument(node, 5, "is_causal", False) else seen[mask, rank]
    return out


def _simplify(graph: fx.Graph, node: fx.Node) -> None:
    if node.op != "call_function":
        return
    name = op_name(node)
    if name in _CHECKS:
        graph.erase_node(node)
    elif name in _COPIES or _is_idle_dropout(node, name) or _keeps_everything(node, name):
        node.replace_all_uses_with(operand(node))
        graph.erase_node(node)
    elif name in ("view", "_unsafe_view"):
        node.target = aten.reshape.default


_MAYBE_COPIES = names("_to_copy to expand slice view type_as add")


def _is_idle_dropout(node: fx.Node, name: str) -> bool:
    """Whether a dropout is that of a module in eval mode; one that drops is left, so that it is seen."""
    return name == "dropout" and not node.args[2]


def _keeps_everything(node: fx.Node, name: str) -> bool:
    """Whether an operation returns its operand: a cast to its own type, a slice of all of it, ``x + 0``."""
    if name not in _MAYBE_COPIES or not isinstance(node.args[0], fx.Node):
        return False
    before, after = node.args[0].meta.get("val"), node.meta["val"]
    if not isinstance(before, torch.Tensor) or before.dtype != after.dtype or before.device != after.device:
        return False
    if name == "add" and not (len(node.args) > 1 and isinstance(node.args[1], (int, float)) and node.args[1] == 0):
        return False
    return [str(n) for n in before.shape] == [str(n) for n in after.shape]


def _rewrite_mask(graph: fx.Graph, node: fx.Node, mask: Mask, paddings: dict[tuple[str, int], fx.Node]) -> None:
    """Drop a mask that blocks nothing; make one that hides padding anew, once per input."""
    if mask_of(node) is None or mask.additive or mask.kind not in ("none", "padding"):
        return
    node.args = node.args[:3]
    node.kwargs = {k: v for k, v in node.kwargs.items() if k != "attn_mask"}
    if mask.kind == "padding":
        key = mask.source, operand(node).meta["val"].dim()
        if key not in paddings:
            paddings[key] = _padding_mask(graph, *key)
        node.kwargs = {**node.kwargs, "attn_mask": paddings[key]}


def _padding_mask(graph: fx.Graph, source: str, rank: int) -> fx.Node:
    """``(batch, 1, ..., 1, keys)`` bool, true where the user input marks a real token."""
    marks = next(n for n in graph.nodes if n.op == "placeholder" and n.name == source)
    with graph.inserting_before(next(n for n in graph.nodes if n.op != "placeholder")):
        mask = _call(graph, aten.ne.Scalar, marks, 0)
        for _ in range(rank - 2):
            mask = _call(graph, aten.unsqueeze.default, mask, 1)
    return mask


def _call(graph: fx.Graph, target: torch._ops.OpOverload[Any, Any], source: fx.Node, *rest: int) -> fx.Node:
    node = graph.call_function(target, (source, *rest))
    node.meta["val"] = target(source.meta["val"], *rest)
    return node
