"""The way of a program to a file: extra outputs, static batch, ``torch.onnx``, names, precision, primitives, disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgetok.errors import ExportFailed
from edgetok.exporter import Exported
from edgetok.graph.outputs import with_outputs
from edgetok.target import Target
from edgetok_exporters.onnx import Options
from edgetok_exporters.onnx.convert import convert
from edgetok_exporters.onnx.finish import finish
from edgetok_exporters.onnx.functions import lower_primitives
from edgetok_exporters.onnx.precision import to_fp16
from edgetok_exporters.onnx.prepare import with_batch
from edgetok_exporters.onnx.save import save
from edgetok_exporters.onnx.tidy import tidy

if TYPE_CHECKING:
    from edgetok.graph.program import Program


def export(
    program: Program,
    target: Target,
    directory: Path,
    *,
    stem: str,
    options: Options,
    expose: Sequence[str] = (),
) -> Exported:
    """Write a program as ONNX; see :meth:`edgetok_exporters.onnx.OnnxExporter.export`."""
    started = time.perf_counter()
    model, exposed = to_model(program, target, options, expose)
    files = save(model, directory, stem, options.external_data)
    return Exported(files[0], tuple(files), time.perf_counter() - started, exposed)


def to_model(
    program: Program, target: Target, options: Options, expose: Sequence[str] = ()
) -> tuple[ir.Model, dict[str, tuple[str, ...]]]:
    """The finished ONNX model in memory, and which outputs carry each exposed node.

    Raises:
        ExportFailed: the toolchain cannot lower the program, or the options do not fit it.
    """
    if options.dtype not in target.dtypes:
        raise ExportFailed(
            f"target {target.name!r} does not run {options.dtype}",
            why=f"its dtypes are {', '.join(target.dtypes)}",
            hint="choose one of these, or another target",
        )
    exported, counts = program.exported, dict[str, int]()
    if expose:
        exported, counts = with_outputs(exported, expose)
    if options.batch != "dynamic":
        dynamic = {program.placeholders[name]: axes for name, axes in program.dynamic.items()}
        exported = with_batch(exported, dynamic, options.batch)
    model = convert(program.name, exported, options.opset, retrace=options.batch != "dynamic")
    exposed = finish(model, program, counts)
    tidy(model.graph)
    if options.dtype == "fp16":
        to_fp16(model, io=options.io)
    lower_primitives(model, target.realisations, keep=options.functions == "keep")
    tidy(model.graph)
    return model, exposed
