"""``torch.onnx``'s dynamo path from an exported program to an ONNX model in memory.

``torch.onnx.export`` traces every program once more to decompose it, which takes several times as long as the
translation itself. A program whose operators are all translatable as they stand needs none of that and is translated
directly; any other goes the whole way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import version_converter
from torch import fx
from torch.export import ExportedProgram

from edgetok.errors import ExportFailed
from edgetok.silence import quiet
from edgetok_exporters.onnx.prepare import with_plain_layouts
from edgetok_exporters.onnx.translate import table


def convert(name: str, exported: ExportedProgram, opset: int, *, retrace: bool = False) -> ir.Model:
    """Translate a program to standard operators and opaque ``edgetok::`` nodes.

    Args:
        name: of the program, for messages.
        exported: left as it is.
        opset: version of the standard operators.
        retrace: trace the program again even if nothing needs to be decomposed.

    Raises:
        ExportFailed: the toolchain cannot translate the program.
    """
    try:
        with quiet():
            model = None if retrace else _directly(exported, opset)
            return model if model is not None else _through_torch(exported, opset)
    except Exception as error:
        raise ExportFailed(
            f"torch.onnx cannot export {name!r} at opset {opset}",
            why=_cause(error),
            hint="an operator without a translation can be decomposed before the export, or try another opset",
        ) from error


def _through_torch(exported: ExportedProgram, opset: int) -> ir.Model:
    made = torch.onnx.export(
        with_plain_layouts(exported),
        (),
        dynamo=True,
        optimize=False,
        verbose=False,
        opset_version=opset,
        custom_translation_table=table(opset),
    )
    assert made is not None
    return made.model


def _directly(exported: ExportedProgram, opset: int) -> ir.Model | None:
    """The last two steps of ``torch.onnx.export`` alone, or None where the others are needed."""
    try:
        from torch.onnx._internal.exporter._core import _exported_program_to_onnx_program as translate

        registry = _registry(opset)
        if not all(_translatable(node, registry) for node in exported.graph.nodes):
            return None
    except (ImportError, AttributeError, TypeError):
        return None
    model: ir.Model = translate(exported, registry=registry).model
    version_converter.convert_version(model, opset)
    return model


@lru_cache(maxsize=4)
def _registry(opset: int) -> Any:
    """What ``torch.onnx.export`` would look translations up in."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    registry = ONNXRegistry.from_torchlib(opset_version=opset)
    for target, translation in table(opset).items():
        registry.register_op(target, translation)
    return registry


def _translatable(node: fx.Node, registry: Any) -> bool:
    """Whether a node is functional, has a translation, and needs no type promotion."""
    from torch.onnx._internal.exporter._dispatching import dispatch

    if node.op != "call_function":
        return node.op in ("placeholder", "output")
    schema = getattr(node.target, "_schema", None)
    if schema is not None and (schema.is_mutable or _promotes(node)):
        return False
    return getattr(node.target, "__name__", "") == "getitem" or dispatch(node, registry)[0] is not None


def _promotes(node: fx.Node) -> bool:
    """Whether an operator mixes dtypes that ``torch`` would promote."""
    from torch.onnx._internal.fx.passes.type_promotion import TypePromotionTable

    packet = getattr(node.target, "overloadpacket", None)
    if packet is None or _promotions(TypePromotionTable).get_rule(packet) is None:
        return False
    tensors = [value.meta.get("val") for value in node.all_input_nodes] + [node.meta.get("val")]
    return len({value.dtype for value in tensors if isinstance(value, torch.Tensor)}) > 1


@lru_cache(maxsize=1)
def _promotions(table_type: Any) -> Any:
    return table_type()


def _cause(error: BaseException) -> str:
    """The innermost cause in one line; ``torch.onnx`` wraps it several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:400] if lines else 'no message'}"
