"""Normalisation: what every program passes before anything else, so that dense and optimised start equal.

Removed: copies and casts to the same type, dropout, assertions, masks that block nothing. Made uniform: ``view`` becomes
``reshape`` (capture freezes strides that later attention does not keep), explicit attention becomes
``scaled_dot_product_attention``, and a mask that only hides padding keys becomes ``(batch, 1, 1, keys)``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from edgetok.graph.dependence import data_inputs
from edgetok.graph.explicit_attention import fuse_attention
from edgetok.graph.labels import op_name
from edgetok.graph.masks import Mask, understand
from edgetok.graph.program import Program
from edgetok.graph.rules.attention import mask_of

aten = torch.ops.aten

_COPIES = frozenset({"clone", "alias", "detach", "detach_", "lift_fresh_copy", "contiguous", "dropout"})
_CHECKS = frozenset({"_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range_for_size"})


def normalise(program: Program) -> Program:
    """Normalise a freshly captured program. Its graph is changed in place: nobody else has it yet."""
    graph = program.graph
    for node in list(graph.nodes):
        _simplify(graph, node)
    fuse_attention(graph)
    masks = understand_masks(program)
    for node, mask in masks.items():
        _rewrite_mask(graph, node, mask)
    graph.eliminate_dead_code()
    program.exported.graph_module.recompile()
    return program


def constants(exported: ExportedProgram) -> dict[str, Any]:
    """Parameters, buffers and constants by placeholder name."""
    signature, values = exported.graph_signature, {**exported.state_dict, **exported.constants}
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    return {placeholder: values[fqn] for placeholder, fqn in names.items() if fqn in values}


def understand_masks(program: Program) -> dict[fx.Node, Mask]:
    """What the mask of every attention of a program does."""
    graph, known = program.graph, constants(program.exported)
    data = data_inputs(graph, program.placeholders.values())
    users = {program.placeholders[name]: tensor for name, tensor in program.example.items()}
    seen: dict[fx.Node | None, Mask] = {}
    out = {}
    for node in graph.nodes:
        if op_name(node) != "scaled_dot_product_attention":
            continue
        operand = mask_of(node)
        if operand not in seen:
            seen[operand] = understand(operand, data.get(operand, frozenset()), known, users)  # type: ignore[arg-type]
        out[node] = Mask("causal") if _is_causal(node) else seen[operand]
    return out


def _is_causal(node: fx.Node) -> bool:
    return bool(node.args[5] if len(node.args) > 5 else node.kwargs.get("is_causal", False))


def _simplify(graph: fx.Graph, node: fx.Node) -> None:
    if node.op != "call_function":
        return
    name = op_name(node)
    if name in _CHECKS:
        graph.erase_node(node)
    elif name in _COPIES or _keeps_everything(node, name):
        node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
        graph.erase_node(node)
    elif name in ("view", "_unsafe_view"):
        node.target = aten.reshape.default


def _keeps_everything(node: fx.Node, name: str) -> bool:
    if name not in ("_to_copy", "to", "expand", "slice", "view", "type_as", "add") or not isinstance(node.args[0], fx.Node):
        return False
    before, after = node.args[0].meta.get("val"), node.meta["val"]
    if not isinstance(before, torch.Tensor) or before.dtype != after.dtype or before.device != after.device:
        return False
    if name == "add" and (len(node.args) < 2 or node.args[1] != 0 or isinstance(node.args[1], fx.Node)):
        return False
    return _same_shape(before.shape, after.shape)


def _same_shape(a: torch.Size, b: torch.Size) -> bool:
    return len(a) == len(b) and all(str(x) == str(y) for x, y in zip(a, b, strict=True))


def _rewrite_mask(graph: fx.Graph, node: fx.Node, mask: Mask) -> None:
    operand = mask_of(node)
    if operand is None or mask.additive or mask.kind not in ("none", "padding"):
        return
    replacement = None if mask.kind == "none" else _padding_mask(graph, node, mask.source)
    node.args = node.args[:3]
    node.kwargs = {**node.kwargs, **({"attn_mask": replacement} if replacement is not None else {})}
    if replacement is None:
        node.kwargs = {k: v for k, v in node.kwargs.items() if k != "attn_mask"}


def _padding_mask(graph: fx.Graph, attention: fx.Node, source: str) -> fx.Node:
    """``(batch, 1, 1, keys)`` bool, true where the user input marks a real token; made once per input."""
    marks = next(n for n in graph.nodes if n.op == "placeholder" and n.name == source)
    for user in marks.users:
        if user.meta.get("edgetok_padding"):
            return next(iter(next(iter(user.users)).users))
    after = next(n for n in graph.nodes if n.op != "placeholder")
    with graph.inserting_before(after):
        real = _call(graph, aten.ne.Scalar, marks, 0)
        rows = _call(graph, aten.unsqueeze.default, real, 1)
        keys = _call(graph, aten.unsqueeze.default, rows, 1)
    real.meta["edgetok_padding"] = True
    return keys


def _call(graph: fx.Graph, target: Any, *args: Any) -> fx.Node:
    node = graph.call_function(target, args)
    values = fx.map_arg(args, lambda a: a.meta["val"])
    node.meta["val"] = target(*values)  # type: ignore[misc]
    return node


