"""What happens to a lowered program before coremltools sees it: only operations that its front end has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.export import default_decompositions
from torch.export.graph_signature import TensorArgument

from edgetok.errors import ExportFailed
from edgetok.graph.nodes import argument, op_name
from edgetok.silence import quiet

if TYPE_CHECKING:
    from torch._ops import OpOverload
    from torch.export import ExportedProgram

aten = torch.ops.aten
COPIES = frozenset({aten.alias.default, aten.clone.default, aten.detach.default, aten.lift_fresh_copy.default})
"""Operations that change nothing in a functional graph."""
CLAMPS = frozenset({aten.clamp.default, aten.clamp_min.default, aten.clamp_max.default})

WAYS_OUT = {
    "scatter_reduce": "merge by one-hot products instead: realisations.reduce = 'one-hot'",
    "index_reduce": "reduce by a one-hot product instead",
}


def prepare(exported: ExportedProgram) -> ExportedProgram:
    """A program in operations that coremltools converts.

    Args:
        exported: lowered for this; changed in place.

    Raises:
        ExportFailed: an operation has no Core ML form, and no decomposition into ones that have.
    """
    lacking = _unknown(exported.graph)
    rules: dict[OpOverload, Any] = dict(default_decompositions())
    table = {op: rules[op] for op in lacking - COPIES if op in rules}
    with quiet():
        exported = exported.run_decompositions(table) if table else exported
    for rewrite in (_drop_copies, _divide, _widen_vectors, _keep_integers, _refuse_unknown):
        rewrite(exported.graph)
    return settled(exported)


def settled(exported: ExportedProgram) -> ExportedProgram:
    """A program whose graph was changed in place: its code and the names of its outputs are those of the graph."""
    returned = exported.graph.output_node().args[0]
    for spec, node in zip(exported.graph_signature.output_specs, returned, strict=True):
        spec.arg = TensorArgument(node.name)
    exported.graph_module.recompile()
    return exported


def _unknown(graph: fx.Graph) -> set[OpOverload]:
    """Operations that the front end does not convert."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY

    targets: set[Any] = {node.target for node in graph.nodes if node.op == "call_function"}
    return {op for op in targets if hasattr(op, "name") and _TORCH_OPS_REGISTRY.get_func(op.name()) is None}


def _refuse_unknown(graph: fx.Graph) -> None:
    unknown = _unknown(graph)
    counts = Counter(op_name(node) for node in graph.nodes if node.target in unknown)
    if not counts:
        return
    hints = [f"{name}: {WAYS_OUT[name]}" for name in counts if name in WAYS_OUT]
    raise ExportFailed(
        f"Core ML has no form of {', '.join(sorted(counts))}.",
        why=", ".join(f"{count} x {name}" for name, count in sorted(counts.items())) + " in the lowered program",
        hint="; ".join(hints) or "Replace the operation in the model, or choose another target.",
    )


def _drop_copies(graph: fx.Graph) -> None:
    """Remove what changes nothing; a copy that is returned stays, so that every output is a value of its own."""
    returned = set(graph.output_node().all_input_nodes)
    for node in list(graph.nodes):
        if node.op == "call_function" and "_assert" in str(node.target):
            graph.erase_node(node)
        elif node.target in COPIES and node not in returned:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def _divide(graph: fx.Graph) -> None:
    """``1 / x`` as a division: coremltools' inverse is ``1 / (x + 1e-4)``."""
    for node in list(graph.find_nodes(op="call_function", target=aten.reciprocal.default)):
        with graph.inserting_before(node):
            one = full(graph, [1] * max(node.meta["val"].dim(), 1), 1.0, node.meta["val"].dtype)
            quotient = _call(graph, aten.div.Tensor, (one, node.args[0]), node.meta["val"], node)
        node.replace_all_uses_with(quotient)
        graph.erase_node(node)


def _widen_vectors(graph: fx.Graph) -> None:
    """``a @ v`` of a vector as a product with a matrix of one column: Core ML multiplies no vectors."""
    for node in list(graph.find_nodes(op="call_function", target=aten.matmul.default)):
        left, right = node.args
        if right.meta["val"].dim() != 1 or left.meta["val"].dim() < 2:
            continue
        with graph.inserting_before(node):
            column = _call(graph, aten.unsqueeze.default, (right, -1), right.meta["val"].unsqueeze(-1), node)
            product = _call(graph, aten.matmul.default, (left, column), node.meta["val"].unsqueeze(-1), node)
            vector = _call(graph, aten.squeeze.dim, (product, -1), node.meta["val"], node)
        node.replace_all_uses_with(vector)
        graph.erase_node(node)


def _keep_integers(graph: fx.Graph) -> None:
    """Clamp integers by maximum and minimum: coremltools makes floats of clamped integers, which index nothing."""
    for node in [n for n in graph.nodes if n.target in CLAMPS and not n.meta["val"].is_floating_point()]:
        value = node.args[0]
        bounds = {"min": argument(node, 1, "min"), "max": argument(node, 2, "max")}
        if node.target is aten.clamp_max.default:
            bounds = {"min": None, "max": argument(node, 1, "max")}
        for way, op in (("min", aten.maximum.default), ("max", aten.minimum.default)):
            if bounds[way] is None:
                continue
            with graph.inserting_before(node):
                bound = full(graph, [1], bounds[way], node.meta["val"].dtype)
                value = _call(graph, op, (value, bound), node.meta["val"], node)
        node.replace_all_uses_with(value)
        graph.erase_node(node)


def full(graph: fx.Graph, shape: Sequence[int], value: float, dtype: torch.dtype) -> fx.Node:
    """A constant tensor of one value, which coremltools folds."""
    made = graph.call_function(aten.full.default, (list(shape), value), {"dtype": dtype})
    made.meta["val"] = torch.full(shape, value, dtype=dtype)
    return made


def _call(graph: fx.Graph, target: OpOverload, args: tuple[Any, ...], value: Any, origin: fx.Node) -> fx.Node:
    made = graph.call_function(target, args)
    made.meta.update({**origin.meta, "val": value})
    return made
