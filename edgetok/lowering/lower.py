"""A program in plain ATen with one batch size: what toolchains without ``edgetok::`` operators take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import traceback as fx_traceback

from edgetok.errors import ExportFailed
from edgetok.graph.outputs import with_outputs
from edgetok.lowering.attention import explicit_attention
from edgetok.lowering.fold import fold
from edgetok.lowering.fuse import fuse
from edgetok.lowering.share import share
from edgetok.ops import matrix_ops
from edgetok.ops.realisations import decompositions
from edgetok.provenance import shared_provenance, traceable
from edgetok.silence import quiet

if TYPE_CHECKING:
    from torch._ops import OpOverload
    from torch.export import ExportedProgram

    from edgetok.graph.program import Program
    from edgetok.target import Target


ATTENTION = {torch.ops.aten.scaled_dot_product_attention.default: explicit_attention}


@dataclass(frozen=True)
class Lowered:
    """A program ready for a toolchain.

    Attributes:
        exported: functional ATen without ``edgetok::`` operators; sizes are numbers. Inputs are keywords in the
            program's order; outputs a flat tuple: the program's, then what is exposed. Weights keep their names, nodes
            their lineage.
        example: inputs it was traced with.
        exposed: how many outputs each exposed node added, in order.
    """

    exported: ExportedProgram
    example: Mapping[str, torch.Tensor]
    exposed: Mapping[str, int]


def lower(
    program: Program,
    target: Target,
    *,
    batch: int | None = 1,
    expose: Sequence[str] = (),
    decompose: Mapping[OpOverload, Callable[..., Any]] | None = None,
    dtype: torch.dtype | None = None,
    keep: Collection[OpOverload] = (),
) -> Lowered:
    """Trace a program for one batch size and replace every primitive by the realisation its target prefers.

    Args:
        program: left as it is.
        target: says which realisations.
        batch: the one batch size; ``None`` leaves it free.
        expose: names of nodes of ``program.graph`` whose values become extra outputs, a tuple's tensors one by one.
        decompose: further operations that a toolchain wants as others, each with a function of tensors.
        dtype: what the toolchain will compute in, where it converts the program after this.
        keep: ``edgetok::`` operators that the toolchain has a form of.

    Raises:
        ExportFailed: the program has a fixed batch already and it is another, or it cannot be traced.
    """
    exported, exposed = with_outputs(program.exported, expose) if expose else (program.exported, {})
    example = program.example if batch is None else _example(program, batch)
    table = {**decompositions(target.realisations, dtype=dtype), **matrix_ops.TABLE, **ATTENTION, **(decompose or {})}
    table = {op: function for op, function in table.items() if op not in keep}
    try:
        with quiet(), shared_provenance(), fx_traceback.preserve_node_meta():
            if batch is not None:
                exported = torch.export.export(traceable(exported), (), dict(example))
            plain = (fuse(exported) if target.realisations.fused else exported).run_decompositions(table)
        return Lowered(share(_with_reshapes(plain if batch is None else fold(plain))), example, exposed)
    except Exception as error:
        raise ExportFailed(
            f"The program {program.name!r} cannot be lowered for {target.name} with a batch of {batch}.",
            why=f"{type(error).__name__}: {str(error).strip()[:400]}",
            hint="Please report this with the model's architecture.",
        ) from error


def exposed_names(lowered: Lowered) -> dict[str, tuple[str, ...]]:
    """Names for the outputs that a check build adds: ``NODE.0``, ``NODE.1``, ..."""
    return {node: tuple(f"{node}.{i}" for i in range(count)) for node, count in lowered.exposed.items()}


def _with_reshapes(exported: ExportedProgram) -> ExportedProgram:
    """Views as reshapes: a view holds only for the strides of the trace it was made in."""
    for node in exported.graph.find_nodes(op="call_function", target=torch.ops.aten.view.default):
        node.target = torch.ops.aten.reshape.default
    exported.graph_module.recompile()
    return exported


def _example(program: Program, batch: int) -> dict[str, torch.Tensor]:
    _check_fixed(program, batch)
    return {name: _batch_of(tensor, program.dynamic.get(name, {}), batch) for name, tensor in program.example.items()}


def _batch_of(tensor: torch.Tensor, dynamic: Mapping[int, str], batch: int) -> torch.Tensor:
    """An example with its first sample ``batch`` times along every batch axis."""
    for axis, symbol in dynamic.items():
        if symbol == "batch":
            tensor = tensor.narrow(axis, 0, 1).repeat([batch if i == axis else 1 for i in range(tensor.dim())])
    return tensor


def _check_fixed(program: Program, batch: int) -> None:
    if any("batch" in axes.values() for axes in program.dynamic.values()):
        return
    first = next(iter(program.example.values()))
    if first.dim() and first.shape[0] != batch:
        raise ExportFailed(
            f"The program cannot be exported with a batch of {batch}.",
            why=f"it was captured with a fixed batch of {first.shape[0]}",
            hint=f"Capture it with a dynamic batch axis, or set exporter.batch to {first.shape[0]}.",
        )
