"""Weights stored in fewer bits and widened where they are read: fp16 by ``Cast``, int8 by ``DequantizeLinear``."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

INT8_MAX = 127


def store_fp16(graph: ir.Graph, weight: ir.Value) -> None:
    """Round a weight to fp16; what reads it reads it widened. A finite number stays finite."""
    array = _array(weight)
    if array.dtype == np.float16:
        return
    limit = np.finfo(np.float16).max
    half = np.where(np.isfinite(array), np.clip(array, -limit, limit), array).astype(np.float16)
    stored = _constant(graph, f"{weight.name}.fp16", half)
    assert weight.dtype is not None
    _read_through(graph, weight, ir.node("Cast", [stored], {"to": int(weight.dtype)}))


def store_int8(graph: ir.Graph, weight: ir.Value, axis: int) -> None:
    """Round a weight to symmetric int8 with one scale per slice along ``axis``, the largest of which is 127."""
    array = _array(weight)
    others = tuple(i for i in range(array.ndim) if i != axis)
    largest = np.abs(array.astype(np.float32)).max(axis=others)
    scale = np.where(largest > 0, largest / INT8_MAX, 1).astype(array.dtype)
    spread = scale.astype(np.float32).reshape([-1 if i == axis else 1 for i in range(array.ndim)])
    rounded = np.clip(np.rint(array / spread), -INT8_MAX, INT8_MAX).astype(np.int8)
    values = [_constant(graph, f"{weight.name}.{part}", a) for part, a in (("int8", rounded), ("scale", scale))]
    _read_through(graph, weight, ir.node("DequantizeLinear", values, {"axis": axis}))


def output_axis(reader: ir.Node) -> int:
    """The axis of output channels in the weight of a ``MatMul`` or ``Conv``."""
    return 0 if reader.op_type == "Conv" else 1


def _array(weight: ir.Value) -> np.ndarray:
    assert weight.const_value is not None
    return weight.const_value.numpy()


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def _read_through(graph: ir.Graph, weight: ir.Value, node: ir.Node) -> None:
    """Let all readers of a weight read ``node``; the weight itself goes."""
    readers = list(weight.uses())
    first = min((user for user, _ in readers), key=list(graph).index)
    node.name, made = f"{weight.name}.widen", node.outputs[0]
    made.name, made.shape = f"{weight.name}.wide", weight.shape
    if weight.dtype is not None:
        made.dtype = weight.dtype
    for user, index in readers:
        user.replace_input_with(index, made)
    graph.insert_before(first, node)
    del graph.initializers[str(weight.name)]
