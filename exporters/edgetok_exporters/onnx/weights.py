"""The weights a precision names, as the quantisers of onnxruntime want them: initializers read by MatMul or Conv."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from edgetok.errors import ExportFailed
from edgetok_exporters.onnx.body import Body
from edgetok_exporters.onnx.tidy import remove_unread

PLUGIN = "edgetok.plugin"
"""The metadata key of nodes that a plugin inserted."""


def fold(model: ir.Model, names: Collection[str]) -> dict[str, list[ir.Node]]:
    """Make every named weight the second input of plain ``MatMul`` and ``Conv`` nodes, in place.

    A transposed weight is stored transposed, as ``<name>.T``; ``Gemm`` becomes ``MatMul`` and ``Add``.

    Args:
        model: finished and in fp32 or fp16.
        names: of initializers.

    Returns:
        The nodes that read each weight.

    Raises:
        ExportFailed: a weight is not in the model, or something else reads it.
    """
    readers: dict[str, list[ir.Node]] = {}
    for name in sorted(names):
        weight = model.graph.initializers.get(name)
        if weight is None:
            raise ExportFailed(f"weight {name!r} cannot be quantised", why="the ONNX graph has no such initializer")
        readers[name] = [_plain(model.graph, user, weight) for user, _ in list(weight.uses())]
    remove_unread(model.graph)
    for name in readers:
        if not model.graph.initializers[name].uses():
            del model.graph.initializers[name]
    return readers


def inserted(graph: ir.Graph) -> list[ir.Node]:
    """Nodes that come from a plugin: they decide, and are never quantised."""
    return [node for node in graph if PLUGIN in node.metadata_props]


def _plain(graph: ir.Graph, user: ir.Node, weight: ir.Value) -> ir.Node:
    if user.op_type in ("Conv", "MatMul") and user.inputs[1] is weight:
        return user
    if user.op_type == "Gemm" and user.inputs[1] is weight and _is_linear(user):
        return _linear(graph, user, weight)
    if user.op_type == "Transpose" and weight.shape is not None and len(weight.shape) == 2:
        matmuls = [node for node, index in user.outputs[0].uses() if node.op_type == "MatMul" and index == 1]
        if len(matmuls) == 1 and len(user.outputs[0].uses()) == 1:
            matmuls[0].replace_input_with(1, _transposed(graph, weight))
            return matmuls[0]
    raise ExportFailed(
        f"weight {weight.name!r} cannot be quantised",
        why=f"in the ONNX graph {user.op_type} {user.name!r} reads it; only MatMul, Gemm and Conv can",
        hint="name it in the option skip of the plugin quantize",
    )


def _is_linear(node: ir.Node) -> bool:
    given = node.attributes
    return (
        not given.get_int("transA", 0) and given.get_float("alpha", 1.0) == 1.0 and given.get_float("beta", 1.0) == 1.0
    )


def _linear(graph: ir.Graph, node: ir.Node, weight: ir.Value) -> ir.Node:
    """``Gemm(x, W, b)`` as ``Add(MatMul(x, W^T), b)``."""
    body = Body()
    product = body(
        "MatMul", node.inputs[0], _transposed(graph, weight) if node.attributes.get_int("transB", 0) else weight
    )
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    made = product if bias is None else body("Add", product, bias)
    old = node.outputs[0]
    for i, inner in enumerate(body.nodes):
        inner.name = f"{node.name}.{i}"
        inner.metadata_props.update(node.metadata_props)
        inner.outputs[0].name = f"{node.name}.{i}.value"
        inner.outputs[0].shape, inner.outputs[0].dtype = old.shape, old.dtype or ir.DataType.FLOAT
    graph.insert_before(node, body.nodes)
    ir.convenience.replace_all_uses_with(old, made, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    name, old.name = old.name, f"{node.name}.replaced"
    made.name = name
    return body.nodes[0]


def _transposed(graph: ir.Graph, weight: ir.Value) -> ir.Value:
    name = f"{weight.name}.T"
    known = graph.initializers.get(name)
    if known is not None:
        return known
    assert weight.const_value is not None
    array = np.ascontiguousarray(weight.const_value.numpy().T)
    made = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(weight.const_value.dtype))
    made.const_value = ir.tensor(array, name=name)
    graph.register_initializer(made)
    return made
