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
    for initializer in graph.initializers.values():
        if initializer.const_value is not None and initializer.dtype == FLOAT:
            initializer.const_value = _half(initializer.const_value, initializer.name)
    for node in graph.all_nodes():
        _name_dtypes(node)
    wide: set[ir.Value] = set()
    if io == "fp32":
        wide |= _cast_inputs(graph) | _cast_outputs(graph)
    for node in list(graph.all_nodes()):
        if _is_reducing_scatter(node):
            wide |= _widen(graph, node)
    for value in _values(graph):
        if value.dtype == FLOAT and value not in wide:
            value.dtype = FLOAT16


def _values(graph: ir.Graph) -> list[ir.Value]:
    made = (value for node in graph.all_nodes() for value in node.outputs)
    return [*graph.inputs, *graph.initializers.values(), *made]


def _half(tensor: Any, name: str | None) -> ir.TensorProtocol:
    """Rounded to fp16; a finite number stays finite."""
    array = tensor.numpy()
    return ir.tensor(np.where(np.isfinite(array), np.clip(array, -_LIMIT, _LIMIT), array).astype(np.float16), name=name)


def _name_dtypes(node: ir.Node) -> None:
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


def _is_reducing_scatter(node: ir.Node) -> bool:
    reduces = node.attributes.get_string("reduction", "none") != "none"
    return node.op_type in ("ScatterElements", "ScatterND") and reduces and node.outputs[0].dtype == FLOAT


def _widen(graph: ir.Graph, node: ir.Node) -> set[ir.Value]:
    """Compute one scatter in fp32: onnxruntime has no fp16 scatter that reduces. Returns the fp32 values."""
    out = node.outputs[0]
    uses = list(out.uses())
    inputs = [_cast(f"{node.name}.wide.{i}", node.inputs[i], FLOAT) for i in (0, 2)]
    for index, cast in zip((0, 2), inputs, strict=True):
        node.replace_input_with(index, cast.outputs[0])
    narrow = _cast(f"{node.name}.narrow", out, FLOAT16)
    graph.insert_before(node, inputs)
    graph.insert_after(node, narrow)
    _redirect(graph, out, narrow.outputs[0], uses)
    return {out, *(cast.outputs[0] for cast in inputs)}


def _cast_inputs(graph: ir.Graph) -> set[ir.Value]:
    """Leave floating inputs as they are; what reads them reads an fp16 copy."""
    inputs = [value for value in graph.inputs if value.dtype == FLOAT and value.uses()]
    for value in inputs:
        uses = list(value.uses())
        cast = _cast(f"{value.name}.fp16", value, FLOAT16)
        graph.insert_before(graph[0], cast)
        _redirect(graph, value, cast.outputs[0], uses)
    return {value for value in graph.inputs if value.dtype == FLOAT}


def _cast_outputs(graph: ir.Graph) -> set[ir.Value]:
    """Floating outputs are fp32 copies under their names; what they copy is renamed."""
    made = set()
    for index, value in enumerate(graph.outputs):
        if value.dtype == FLOAT:
            name = value.name
            value.name = f"{name}.fp16"
            cast = _cast(f"{name}.fp32", value, FLOAT)
            cast.outputs[0].name = name
            graph.append(cast)
            graph.outputs[index] = cast.outputs[0]
            made.add(cast.outputs[0])
    return made


def _redirect(graph: ir.Graph, old: ir.Value, new: ir.Value, uses: list[Any]) -> None:
    for user, index in uses:
        user.replace_input_with(index, new)
    for index, value in enumerate(graph.outputs):
        if value is old:
            graph.outputs[index] = new


def _cast(name: str, value: ir.Value | None, dtype: ir.DataType) -> ir.Node:
    shape = value.shape if value is not None else None
    output = ir.Value(name=name, shape=shape, type=ir.TensorType(dtype))
    return ir.node("Cast", [value], {"to": int(dtype)}, outputs=[output], name=name)
