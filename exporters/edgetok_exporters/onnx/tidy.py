"""Peepholes on a converted graph: moves that undo each other, what is computed twice, means over heads.

Re-tracing writes every layout change down, and ``torch.onnx`` computes symbolic shapes at run time; onnxruntime
removes little of either. Dense and rewritten programs pass the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import onnx_ir as ir

from edgetok_exporters.onnx.body import FLOAT, FLOAT16, Body, numpy_dtype


def tidy(graph: ir.Graph) -> None:
    """Apply all rules in one walk, in place, then drop what nothing reads."""
    ends = set(graph.outputs)
    seen: dict[Hashable, ir.Node] = {}
    for node in list(graph):
        if node.domain != "" or any(value in ends for value in node.outputs):
            continue
        rule = RULES.get(node.op_type)
        value = rule(graph, node) if rule is not None else None
        if value is not None:
            ir.convenience.replace_all_uses_with(node.outputs[0], value)
            node = value.producer() or node
        first = seen.setdefault(_meaning(node), node)
        if first is not node and len(first.outputs) == len(node.outputs):
            ir.convenience.replace_all_uses_with(node.outputs, first.outputs)
    remove_unread(graph)


def _meaning(node: ir.Node) -> Hashable:
    """What a node computes, from what: equal for nodes that may be one."""
    if node.op_type.startswith("Random") or any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values()):
        return node
    return (node.domain, node.op_type, node.inputs, tuple(_plain(a) for _, a in sorted(node.attributes.items())))


def _plain(attribute: ir.Attr) -> Hashable:
    if attribute.type == ir.AttributeType.TENSOR:
        tensor = attribute.as_tensor()
        return attribute.name, tensor.dtype, tuple(tensor.shape), tensor.tobytes()
    return attribute.name, repr(attribute.value)


def remove_unread(graph: ir.Graph) -> None:
    """Drop nodes whose values nothing reads."""
    ends = set(graph.outputs)
    for node in reversed(list(graph)):
        if not any(value in ends or value.uses() for value in node.outputs):
            graph.remove(node, safe=True)


def _identity(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    return node.inputs[0]


def _reshape(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """Two reshapes are one; one to the shape that a value has is none; a shape that is known is a constant."""
    out = node.outputs[0]
    target = _constant_shape(out)
    if target is None:
        return None
    _look_through_unary(graph, node)
    before = _producer(node, "Reshape")
    if before is not None and before.inputs[0] is not None:
        node.replace_input_with(0, before.inputs[0])
    if _same_shape(node.inputs[0], out):
        return node.inputs[0]
    if node.inputs[1] is None or ir.convenience.get_const_tensor(node.inputs[1]) is None or before is not None:
        body = Body()
        made = body("Reshape", node.inputs[0], target)
        _insert(graph, node, body, made)
        return made
    return None


def _look_through_unary(graph: ir.Graph, node: ir.Node) -> None:
    """In ``Reshape(Log(Squeeze(x)))`` the squeeze changes nothing.

    The ``Log`` is written anew: the old one, of another shape, may yet turn out to be what a later node computes.
    """
    unary = _producer(node, "Log")
    if unary is None or len(unary.outputs[0].uses()) != 1:
        return
    squeeze = _producer(unary, "Squeeze")
    if squeeze is not None and squeeze.inputs[0] is not None:
        body = Body()
        made = body("Log", squeeze.inputs[0])
        _insert(graph, unary, body, made)
        made.shape = squeeze.inputs[0].shape
        node.replace_input_with(0, made)


def _constant_shape(value: ir.Value) -> list[int] | None:
    """The shape with -1 for the one size that may be symbolic, or None if there are more."""
    if value.shape is None:
        return None
    sizes = [dim if isinstance(dim, int) else -1 for dim in value.shape]
    return sizes if sizes.count(-1) <= 1 and 0 not in sizes else None


def _transpose(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """Two transposes are one, or none."""
    perm = _perm(node)
    before = _producer(node, "Transpose")
    if before is not None and before.inputs[0] is not None and len(_perm(before)) == len(perm):
        perm = [_perm(before)[axis] for axis in perm]
        node.replace_input_with(0, before.inputs[0])
        node.attributes["perm"] = ir.AttrInt64s("perm", perm)
    return node.inputs[0] if perm and perm == sorted(perm) else None


def _shape(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """The batch is read off the first input that has it, so that it is read once."""
    x = node.inputs[0]
    batch = x.shape[0] if x is not None and x.shape is not None and len(x.shape) else None
    if not isinstance(batch, ir.SymbolicDim) or batch.value is None or node.attributes.get_int("start", 0) != 0:
        return None
    if node.attributes.get_int("end", -1) != 1:
        return None
    for value in graph.inputs:
        if value.shape is not None and len(value.shape) and str(value.shape[0]) == str(batch):
            node.replace_input_with(0, value)
            break
    return None


def _squeeze(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """PyTorch leaves an axis whose size is not 1 alone; ONNX calls that an error."""
    x, axes = node.inputs[0], _axes(node)
    if x is None or x.shape is None or not axes:
        return None
    sizes = [x.shape[axis] for axis in axes]
    return x if all(isinstance(size, int) and size != 1 for size in sizes) else None


def _unsqueeze(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """``Unsqueeze`` undoes the ``Squeeze`` before it."""
    before = _producer(node, "Squeeze")
    if before is None or before.inputs[0] is None:
        return None
    axes, dropped = _axes(node), _axes(before)
    if axes is not None and axes == dropped and (min(axes) >= 0 or axes == [-1]):
        return before.inputs[0]
    rank = len(before.inputs[0].shape) if before.inputs[0].shape is not None else 0
    if rank and axes is not None and dropped is not None and {a % rank for a in axes} == {a % rank for a in dropped}:
        return before.inputs[0]
    return None


def _mean(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """A mean over heads is a product with a row: onnxruntime reduces a middle axis many times slower.

    Of keys it is taken where attention has them already, one token a column, so that they are not laid out twice.
    """
    x = node.inputs[0]
    if x is None or x.shape is None or len(x.shape) != 4 or x.dtype not in (FLOAT, FLOAT16) or _axes(node) != [1]:
        return None
    heads, tokens, channels = (n if isinstance(n, int) else 0 for n in x.shape[1:])
    if node.attributes.get_int("keepdims", 1) or 0 in (heads, tokens, channels):
        return None
    body = Body()
    columns = _columns(x)
    row = np.full((1, heads), 1 / heads, dtype=numpy_dtype(x))
    rows = body("MatMul", row, body("Reshape", columns or x, [-1, heads, tokens * channels]))
    if columns is None:
        made = body("Reshape", rows, [-1, tokens, channels])
    else:
        made = body("Transpose", body("Reshape", rows, [-1, channels, tokens]), perm=[0, 2, 1])
    _insert(graph, node, body, made)
    return made


def _columns(x: ir.Value) -> ir.Value | None:
    """``x [B, heads, N, d]`` as ``[B, heads, d, N]``, if an earlier node makes that of what ``x`` is made of."""
    turn = x.producer()
    if turn is None or turn.op_type != "Transpose" or _perm(turn) != [0, 2, 1, 3] or turn.inputs[0] is None:
        return None
    for reader, _ in turn.inputs[0].uses():
        if reader.op_type == "Transpose" and _perm(reader) == [0, 2, 3, 1]:
            return reader.outputs[0]
    return None


def _attention(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """Outputs that nothing reads are not asked for: a cache costs a copy of the keys and values."""
    used = [i for i, value in enumerate(node.outputs) if value.uses()]
    if used and used[-1] + 1 < len(node.outputs):
        node.resize_outputs(used[-1] + 1)
    return None


Rule = Callable[[ir.Graph, ir.Node], ir.Value | None]


def _part(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """A part of equal parts that a sequence holds is a slice: few runtimes have sequences, and none is fast there."""
    whole = _producer(node, "SplitToSequence")
    if whole is None or whole.inputs[0] is None or len(whole.inputs) < 2:
        return None
    size, index = (_scalar(value) for value in (whole.inputs[1], node.inputs[1]))
    if size is None or index is None or index < 0:
        return None
    axis = whole.attributes["axis"].as_int() if "axis" in whole.attributes else 0
    body = Body()
    made = body.slice(whole.inputs[0], index * size, (index + 1) * size, axis=axis)
    _insert(graph, node, body, made)
    made_by = made.producer()
    if made_by is not None:
        made_by.metadata_props.update(whole.metadata_props)
    return made


def _scalar(value: ir.Value | None) -> int | None:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return int(tensor.numpy()) if tensor is not None and tensor.numpy().ndim == 0 else None


RULES: dict[str, Rule] = {
    "Attention": _attention,
    "Identity": _identity,
    "Reshape": _reshape,
    "SequenceAt": _part,
    "Shape": _shape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "ReduceMean": _mean,
}
"""A rule gives the value that replaces a node's output, or None; it may also change the node itself."""


def _insert(graph: ir.Graph, node: ir.Node, body: Body, made: ir.Value) -> None:
    """Put a body's nodes before ``node``; its result takes over name, shape, dtype and lineage."""
    old = node.outputs[0]
    for i, inner in enumerate(body.nodes):
        inner.name = f"{node.name}.{i}"
        inner.metadata_props.update(node.metadata_props)
        for value in inner.outputs:
            value.name = f"{old.name}.{i}"
    made.shape = old.shape
    if old.dtype is not None:
        made.dtype = old.dtype
    graph.insert_before(node, body.nodes)


def _producer(node: ir.Node, op_type: str) -> ir.Node | None:
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    return before if before is not None and before.op_type == op_type and before.domain == "" else None


def _perm(node: ir.Node) -> list[int]:
    return list(node.attributes["perm"].as_ints()) if "perm" in node.attributes else []


def _axes(node: ir.Node) -> list[int] | None:
    """The constant axes of a node that takes them as its second input."""
    if len(node.inputs) < 2 or node.inputs[1] is None:
        return None
    known = ir.convenience.get_const_tensor(node.inputs[1])
    return None if known is None else [int(axis) for axis in known.numpy().reshape(-1)]


def _same_shape(a: ir.Value | None, b: ir.Value) -> bool:
    if a is None or a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return False
    return all(str(x) == str(y) and str(x) != "None" for x, y in zip(a.shape, b.shape, strict=True))
