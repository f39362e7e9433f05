"""Names and metadata of a converted model: the program's own, equal in every build, nothing about this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from edgetok.graph.program import Program


PREFIX = "edgetok."
LINEAGE = ("module", "plugin", "site")
"""What metadata says of where a node came from: ``edgetok.module``, ``edgetok.plugin``, ``edgetok.site``."""


def finish(model: ir.Model, program: Program, exposed: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Rename inputs, outputs and symbols, keep lineage and drop all other metadata, in place.

    Args:
        model: as ``torch.onnx`` made it; its nodes remember their graph node.
        program: whose names it gets.
        exposed: how many outputs each exposed node added behind the program's own.

    Returns:
        The names of those outputs by node.
    """
    model.metadata_props.clear()
    model.producer_name, model.producer_version = "edgetok", None
    graph = model.graph
    graph.name = program.name
    graph.metadata_props.clear()
    for value in [*graph.inputs, *graph.initializers.values()]:
        value.metadata_props.clear()
    for node in graph.all_nodes():
        _keep_lineage(node)
    _rename_symbols(graph, program)
    names = [f"{name}.{i}" if count > 1 else name for name, count in exposed.items() for i in range(count)]
    taken = {spec.name for spec in program.inputs} | {spec.name for spec in program.outputs}
    extra = [f"exposed.{name}" if name in taken else name for name in names]
    _rename(graph, [spec.name for spec in program.inputs], [*(spec.name for spec in program.outputs), *extra])
    remaining = iter(extra)
    return {name: tuple(next(remaining) for _ in range(count)) for name, count in exposed.items()}


def _keep_lineage(node: ir.Node) -> None:
    origin = node.meta.get("node")
    lineage = (origin.meta.get("custom") or {}).get("edgetok") if origin is not None else None
    node.metadata_props.clear()
    for value in node.outputs:
        value.metadata_props.clear()
    kept = {PREFIX + key: str(text) for key, text in (lineage or {}).items() if key in LINEAGE}
    node.metadata_props.update(kept)


def _rename(graph: ir.Graph, inputs: list[str], outputs: list[str]) -> None:
    """Give the graph's ends their names; inner values that have one of them make way."""
    for index, value in enumerate(graph.outputs):
        if value in graph.inputs or value in graph.outputs[:index] or value.is_initializer():
            graph.outputs[index] = _copy(graph, value, f"output.{index}")
    ends = dict(zip([*graph.inputs, *graph.outputs], [*inputs, *outputs], strict=True))
    wanted = set(ends.values())
    for node in graph.all_nodes():
        for value in node.outputs:
            if value not in ends and value.name in wanted:
                value.name = f"{value.name}.inner"
    for value in ends:
        value.name = f"{value.name}.renamed"
    for value, name in ends.items():
        value.name = name


def _copy(graph: ir.Graph, value: ir.Value, name: str) -> ir.Value:
    output = ir.Value(name=name, shape=value.shape, type=ir.TensorType(value.dtype) if value.dtype else None)
    graph.append(ir.node("Identity", [value], outputs=[output], name=name))
    return output


def _rename_symbols(graph: ir.Graph, program: Program) -> None:
    """``s77`` becomes ``batch``, in expressions too."""
    renamed: dict[str, str] = {}
    for value, spec in zip(graph.inputs, program.inputs, strict=True):
        for axis, symbol in program.dynamic.get(spec.name, {}).items():
            dim = value.shape[axis] if value.shape is not None else None
            if isinstance(dim, ir.SymbolicDim) and dim.value is not None:
                renamed[str(dim.value)] = symbol
    if not renamed:
        return
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, renamed)) + r")\b")
    values = [*graph.inputs, *(value for node in graph.all_nodes() for value in node.outputs)]
    for value in values:
        if value.shape is not None:
            value.shape = ir.Shape([_renamed(dim, pattern, renamed) for dim in value.shape])


def _renamed(dim: int | ir.SymbolicDim, pattern: re.Pattern[str], renamed: Mapping[str, str]) -> int | str | None:
    if isinstance(dim, int) or dim.value is None:
        return dim if isinstance(dim, int) else None
    return pattern.sub(lambda found: renamed[found[0]], str(dim.value))
