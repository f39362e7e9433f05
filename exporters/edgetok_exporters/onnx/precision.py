"""fp32 to fp16: weights, constants and casts. Runs before primitives are lowered, which keep decisions in fp32."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from edgetok_exporters.onnx.body import FLOAT, FLOAT16

_LIMIT = np.finfo(np.float16).max


def to_fp16(model: ir.Model, *, io: str) -> None:
    """Compute in fp16, in place.

    Args:
        model: all floating values fp32.
        io: ``fp32`` leaves inputs and outputs and casts behind them, ``same`` makes them fp16.
    """
    graph = model.graph
    boundary = {*graph.inputs, *graph.outputs} if io == "fp32" else set()
    inputs = [value for value in graph.inputs if value.dtype == FLOAT] if io == "fp32" else []
    for initializer in graph.initializers.values():
        if initializer.const_value is not None and initializer.dtype == FLOAT:
            initializer.const_value = _half(initializer.const_value, initializer.name)
            initializer.dtype = FLOAT16
    for node in list(graph.all_nodes()):
        _convert(node)
        if (
            node.op_type in ("ScatterElements", "ScatterND")
            and node.attributes.get_string("reduction", "none") != "none"
        ):
            _widen(graph, node)
    for value in _values(graph):
        if value.dtype == FLOAT and value not in boundary:
            value.dtype = FLOAT16
    for value in inputs:
        _cast_input(graph, value)
    if io == "fp32":
        for index, value in enumerate(graph.outputs):
            if value.dtype == FLOAT:
                graph.outputs[index] = _cast_output(graph, value)


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *(value for node in graph.all_nodes() for value in node.outputs)]


def _half(tensor: Any, name: str | None) -> ir.TensorProtocol:
    """Rounded to fp16; a finite number stays finite."""
    array = tensor.numpy()
    return ir.tensor(np.where(np.isfinite(array), np.clip(array, -_LIMIT, _LIMIT), array).astype(np.float16), name=name)


def _convert(node: ir.Node) -> None:
    """Constants and casts name their dtype themselves."""
    attributes = node.attributes
    if "value_float" in attributes:
        number = np.asarray(attributes.pop("value_float").as_float(), dtype=np.float32)
        attributes["value"] = ir.AttrTensor("value", ir.tensor(number))
    if node.op_type in ("Constant", "ConstantOfShape") and "value" in attributes:
        tensor = attributes["value"].as_tensor()
        if tensor.dtype == FLOAT:
            attributes["value"] = ir.AttrTensor("value", _half(tensor, None))
    for name in ("to", "dtype"):
        if name in attributes and attributes[name].type == ir.AttributeType.INT and attributes[name].as_int() == FLOAT:
            attributes[name] = ir.AttrInt64(name, int(FLOAT16))


def _widen(graph: ir.Graph, node: ir.Node) -> None:
    """Compute one node in fp32: onnxruntime has no fp16 scatter that reduces."""
    inputs = [
        (i, value) for i, value in enumerate(node.inputs) if value is not None and value.dtype in (FLOAT, FLOAT16)
    ]
    if not inputs:
        return
    for index, value in inputs:
        cast = ir.node("Cast", [value], {"to": int(FLOAT)}, name=f"{node.name}.wide.{index}")
        cast.outputs[0].name, cast.outputs[0].shape = f"{node.name}.wide.{index}", value.shape
        node.replace_input_with(index, cast.outputs[0])
        graph.insert_before(node, cast)
    out = node.outputs[0]
    uses = list(out.uses())
    narrow = ir.node("Cast", [out], {"to": int(FLOAT16)}, outputs=[_like(out, f"{out.name}.narrow", FLOAT16)])
    narrow.name = f"{node.name}.narrow"
    graph.insert_after(node, narrow)
    for user, index in uses:
        user.replace_input_with(index, narrow.outputs[0])
    for index, value in enumerate(graph.outputs):
        if value is out:
            graph.outputs[index] = narrow.outputs[0]


def _cast_input(graph: ir.Graph, value: ir.Value) -> None:
    uses = list(value.uses())
    if not uses:
        return
    name = f"{value.name}.fp16"
    cast = ir.node("Cast", [value], {"to": int(FLOAT16)}, outputs=[_like(value, name, FLOAT16)], name=name)
    for user, index in uses:
        user.replace_input_with(index, cast.outputs[0])
    graph.insert_before(graph[0], cast)


def _cast_output(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """The fp32 output, cast from ``value``, which becomes fp16 under another name."""
    name, producer = value.name, value.producer()
    if producer is None:
        return value
    value.name, value.dtype = f"{name}.fp16", FLOAT16
    cast = ir.node("Cast", [value], {"to": int(FLOAT)}, outputs=[_like(value, name, FLOAT)], name=f"{name}.fp32")
    graph.append(cast)
    return cast.outputs[0]


def _like(value: ir.Value, name: str | None, dtype: ir.DataType) -> ir.Value:
    return ir.Value(name=name, shape=value.shape, type=ir.TensorType(dtype))
