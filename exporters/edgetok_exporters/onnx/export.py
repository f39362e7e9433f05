"""The way of a program to a file: extra outputs, static batch, ``torch.onnx``, names, precision, primitives, disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgetok.errors import TargetRefuses
from edgetok.exporter import Exported
from edgetok.graph.outputs import with_outputs
from edgetok.target import Target
from edgetok_exporters.onnx import Options
from edgetok_exporters.onnx.convert import convert
from edgetok_exporters.onnx.delegation import measure
from edgetok_exporters.onnx.finish import finish
from edgetok_exporters.onnx.functions import DOMAIN, PRODUCTS, lower_primitives
from edgetok_exporters.onnx.header import HTP, metadata_for
from edgetok_exporters.onnx.packed_native import lower_packed
from edgetok_exporters.onnx.precision import to_fp16
from edgetok_exporters.onnx.prepare import with_batch
from edgetok_exporters.onnx.quantise import check, quantise
from edgetok_exporters.onnx.refusals import check_options
from edgetok_exporters.onnx.save import save, size_of_weights
from edgetok_exporters.onnx.tidy import tidy

FP16_COUNTS_TO = 2048

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
    check_options(target, options)
    model, exposed = to_model(program, target, options, expose)
    model.metadata_props.update(metadata_for(target.delegate, options.soc))
    if options.format == "ort":
        files = _save_ort(model, directory, stem)
    else:
        files = save(model, directory, stem, options.external_data)
    placed = None
    if target.delegate == HTP:
        placed = measure(files[0], options.soc, context=options.context)
        files = files[:1] if options.context else files
    stored = size_of_weights(model)
    return Exported(files[0], tuple(files), time.perf_counter() - started, exposed, placed, stored)


def _check_ids(model: ir.Model, target: Target) -> None:
    """Ids are numbers there, computed in fp16, which counts to 2048."""
    for node in model.graph:
        tokens = max((n for v in node.inputs if v and v.shape for n in v.shape[1:2] if isinstance(n, int)), default=0)
        if node.domain == DOMAIN and node.op_type not in PRODUCTS and tokens > FP16_COUNTS_TO:
            raise TargetRefuses(
                f"target {target.name!r} cannot reduce {tokens} tokens",
                why=f"it computes in fp16, which counts to {FP16_COUNTS_TO}",
                hint="reduce later in the model, or choose another target",
            )


def _save_ort(model: ir.Model, directory: Path, stem: str) -> list[Path]:
    from edgetok_exporters.onnx.ort_format import to_ort

    with tempfile.TemporaryDirectory(prefix="edgetok-ort-") as folder:
        graph = save(model, Path(folder), stem, "auto")[0]
        entry = directory / f"{stem}.ort"
        to_ort(graph, entry)
    return [entry]


def to_model(
    program: Program, target: Target, options: Options, expose: Sequence[str] = ()
) -> tuple[ir.Model, dict[str, tuple[str, ...]]]:
    """The finished ONNX model in memory, and which outputs carry each exposed node.

    Raises:
        ExportFailed: the toolchain cannot lower the program, or the options do not fit it.
        TargetRefuses: the program's precision is none of the target's.
    """
    if program.precision is not None:
        check(program.precision, target, options.dtype)
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
    lower_packed(model, target.packed, rounded=options.packed_activations == "int8")
    if target.delegate == HTP:
        _check_ids(model, target)
    half = target.computes == "fp16"
    lower_primitives(model, target.realisations, keep=options.functions == "keep", half=half)
    tidy(model.graph)
    if program.precision is not None:
        model = quantise(model, program.precision, target, keep=options.after_gelu == "float")
    return model, exposed
