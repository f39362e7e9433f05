"""What a program's precision asks for, fulfilled on the finished ONNX model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgetok_exporters.onnx.header import HTP
from edgetok_exporters.onnx.refusals import check_formats, refuse
from edgetok_exporters.onnx.stored import output_axis, store_fp16, store_int8
from edgetok_exporters.onnx.weights import fold, inserted

if TYPE_CHECKING:
    from edgetok.precision import Precision
    from edgetok.target import Target

Readers = Mapping[str, list[ir.Node]]
BROKEN_ON_HTP = frozenset({"Log"})
"""What the HTP computes wrongly between Q/DQ pairs of 16 bits, and rightly in fp16: a logarithm of small range is 0.

In a merged model the sizes of tokens are then lost to attention."""


def check(precision: Precision, target: Target, dtype: str) -> None:
    """Refuse what cannot be fulfilled, before any work.

    Raises:
        TargetRefuses: the target does not list the scheme, or it does not go with the other options.
    """
    check_formats(precision, target, dtype)
    if precision.needs_calibration and not precision.calibration:
        refuse(target, precision.scheme, "there is no calibration data", "give some: --calibrate DATA")


def quantise(model: ir.Model, precision: Precision, target: Target, *, keep: bool) -> ir.Model:
    """Store and compute the named weights as the precision says; what plugins inserted stays as it is.

    Args:
        model: finished, its primitives lowered; may be changed.
        precision: checked already.
        target: its delegate decides how static ranges are written.
        keep: in int8, leave activations behind a GELU and its like in floating point; their weights are still stored
            in int8. A single range for such a tensor leaves hardly a step to most of its values.

    Raises:
        ExportFailed: a weight is not where it can be quantised, or the toolchain fails.
    """
    readers: Readers = fold(model, precision.weights)
    if keep and precision.scheme in ("int8-dynamic", "int8-static") and target.delegate != HTP:
        readers = _without_activated(model, readers)
    return SCHEMES[precision.scheme](model, readers, precision, target)


def _fp16(model: ir.Model, readers: Readers, precision: Precision, target: Target) -> ir.Model:
    for weight in _weights(readers):
        store_fp16(model.graph, weight)
    return model


def _int8_weights(model: ir.Model, readers: Readers, precision: Precision, target: Target) -> ir.Model:
    for weight, axis in _weights(readers).items():
        store_int8(model.graph, weight, axis)
    return model


def _int8_dynamic(model: ir.Model, readers: Readers, precision: Precision, target: Target) -> ir.Model:
    """Convolutions keep floating activations: onnxruntime's integer convolution is slower than its float one."""
    from edgetok_exporters.onnx.toolchain import quantize_dynamically

    matmuls = _names(readers, "MatMul")
    for weight, axis in _weights(readers).items():
        if axis == 0:
            store_int8(model.graph, weight, axis)
    return quantize_dynamically(model, matmuls)


def _int8_static(model: ir.Model, readers: Readers, precision: Precision, target: Target) -> ir.Model:
    from edgetok_exporters.onnx.toolchain import quantize_for_htp, quantize_statically

    if target.delegate != HTP:
        return quantize_statically(model, _names(readers, "MatMul", "Conv"), precision.calibration)
    named = {node for nodes in readers.values() for node in nodes}
    skipped = [node for node in model.graph if _has_weight(node) and node not in named]
    broken = [node for node in model.graph if node.op_type in BROKEN_ON_HTP]
    excluded = {str(node.name) for node in [*inserted(model.graph), *skipped, *broken]}
    return quantize_for_htp(model, excluded, precision.calibration)


def _int4(model: ir.Model, readers: Readers, precision: Precision, target: Target) -> ir.Model:
    from edgetok_exporters.onnx.toolchain import quantize_blocks

    (block,) = {format.group for format in precision.weights.values()}
    int8_compute = precision.scheme == "int4-dynamic"
    return quantize_blocks(model, _names(readers, "MatMul"), block, int8_compute=int8_compute)


SCHEMES: Mapping[str, Callable[[ir.Model, Readers, Precision, Target], ir.Model]] = {
    "fp16": _fp16,
    "int8-weights": _int8_weights,
    "int8-dynamic": _int8_dynamic,
    "int8-static": _int8_static,
    "int4-weights": _int4,
    "int4-dynamic": _int4,
}


def _without_activated(model: ir.Model, readers: Readers) -> Readers:
    """Store the weights behind activation functions in int8; the readers of all others."""
    wide = {name for name, nodes in readers.items() if any(follows_activation(node) for node in nodes)}
    for weight, axis in _weights({name: readers[name] for name in sorted(wide)}).items():
        store_int8(model.graph, weight, axis)
    return {name: nodes for name, nodes in readers.items() if name not in wide}


def follows_activation(node: ir.Node) -> bool:
    """Whether a ``MatMul`` reads a GELU, a SiLU or their like, as one operator or as a product with Erf or Sigmoid."""
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node.op_type != "MatMul" or maker is None:
        return False
    return maker.op_type == "Gelu" or (maker.op_type == "Mul" and _reaches(maker, {"Erf", "Sigmoid", "Tanh"}, steps=4))


def _reaches(node: ir.Node, op_types: set[str], *, steps: int) -> bool:
    """Whether such an operator is among the nearest elementwise ancestors."""
    if node.op_type in op_types:
        return True
    if steps == 0 or node.op_type not in ("Mul", "Add", "Div", "Sub"):
        return False
    makers = [value.producer() for value in node.inputs if value is not None]
    return any(maker is not None and _reaches(maker, op_types, steps=steps - 1) for maker in makers)


def _weights(readers: Readers) -> dict[ir.Value, int]:
    """Every stored weight once, with the axis of its output channels."""
    found = {}
    for nodes in readers.values():
        for node in nodes:
            weight = node.inputs[1]
            assert weight is not None
            found[weight] = output_axis(node)
    return found


def _names(readers: Readers, *op_types: str) -> set[str]:
    return {str(node.name) for nodes in readers.values() for node in nodes if node.op_type in op_types}


def _has_weight(node: ir.Node) -> bool:
    """Whether a node multiplies by a parameter (or its transposition), not by another activation."""
    if node.op_type not in ("MatMul", "Gemm", "Conv") or len(node.inputs) < 2 or node.inputs[1] is None:
        return False
    value, maker = node.inputs[1], node.inputs[1].producer()
    if maker is not None and maker.op_type == "Transpose" and maker.inputs[0] is not None:
        value = maker.inputs[0]
    return value.is_initializer()
