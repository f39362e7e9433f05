"""Program -> Program: the one door through which graphs change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.fx import traceback as fx_traceback

from edgetok.errors import EdgetokError, RepairFailed
from edgetok.graph.capture import dynamic_shapes, output_specs
from edgetok.graph.retrace import Retrace, Step
from edgetok.graph.retraced import Retraced
from edgetok.provenance import shared_provenance
from edgetok.silence import quiet

if TYPE_CHECKING:
    from edgetok.graph.program import Program


def rewrite(
    program: Program,
    steps: Sequence[Step] = (),
    *,
    example: Mapping[str, torch.Tensor] | None = None,
    dynamic: Mapping[str, Mapping[int, str]] | None = None,
) -> Program:
    """Re-trace a program with reductions applied; with none, this is the dense program in the same form.

    Args:
        program: a captured program; unchanged.
        steps: reductions, in execution order.
        example: inputs to trace with, e.g. of another batch size.
        dynamic: symbolic axes of the result; ``{}`` makes it static.

    Raises:
        RepairFailed: the rewritten program cannot be traced.
        PluginFailed: a plugin raised, or did not do what its plan said.
    """
    given = program.example if example is None else example
    example = {spec.name: given[spec.name] for spec in program.inputs}
    dynamic = program.dynamic if dynamic is None else dynamic
    module = Retraced(Retrace(program, steps))
    try:
        with quiet(), shared_provenance(), fx_traceback.preserve_node_meta():
            exported = torch.export.export(module, (), example, dynamic_shapes=dynamic_shapes(example, dynamic))
    except EdgetokError:
        raise
    except Exception as error:
        raise RepairFailed(
            f"The rewritten program {program.name!r} cannot be traced.",
            why=f"{type(error).__name__}: {str(error).splitlines()[0][:400] if str(error) else ''}",
            hint="Please report this with the model's architecture; a label or repair rule is missing.",
        ) from error
    shapes = [_shape(example[spec.name], dynamic.get(spec.name, {})) for spec in program.inputs]
    return replace(
        program,
        exported=exported,
        inputs=tuple(replace(spec, shape=s) for spec, s in zip(program.inputs, shapes, strict=True)),
        outputs=output_specs(
            exported, [o.name for o in program.outputs], [dynamic.get(spec.name, {}) for spec in program.inputs]
        ),
        example=example,
        dynamic=dict(dynamic),
    )


def _shape(tensor: torch.Tensor, dynamic: Mapping[int, str]) -> tuple[int | str, ...]:
    return tuple(dynamic.get(axis, int(n)) for axis, n in enumerate(tensor.shape))


def run_rewritten(program: Program, steps: Sequence[Step], inputs: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    """The outputs of the rewritten program, walked eagerly and not traced: plugins meet real values here.

    For tests and debugging; what is delivered comes from :func:`rewrite`, which walks the same way.

    Raises:
        PluginFailed: a plugin raised, or did not do what its plan said.
    """
    with torch.no_grad():
        return list(Retraced(Retrace(program, steps))(**inputs))


def static_batch(program: Program, batch: int, steps: Sequence[Step] = ()) -> Program:
    """The program for one batch size: the same walk over the same graph, with plain numbers."""
    example = {name: _resized(x, program.dynamic.get(name, {}), batch) for name, x in program.example.items()}
    return rewrite(program, steps, example=example, dynamic={})


def _resized(tensor: torch.Tensor, dynamic: Mapping[int, str], batch: int) -> torch.Tensor:
    """An example with its first sample ``batch`` times along every batch axis."""
    for axis, symbol in dynamic.items():
        if symbol == "batch":
            first = tensor.narrow(axis, 0, 1)
            tensor = first.repeat([batch if i == axis else 1 for i in range(tensor.dim())])
    return tensor
