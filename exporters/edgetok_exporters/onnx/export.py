"""The way of a program to a file: extra outputs, static batch, ``torch.onnx``, names, precision, primitives, disk."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx_ir as ir
import torch
from torch.export import ExportedProgram

from edgetok.errors import EdgetokError, ExportFailed
from edgetok.exporter import Exported
from edgetok.graph.program import Program
from edgetok.target import Target
from edgetok_exporters.onnx import Options
from edgetok_exporters.onnx.finish import finish
from edgetok_exporters.onnx.functions import lower_primitives
from edgetok_exporters.onnx.precision import to_fp16
from edgetok_exporters.onnx.prepare import with_batch, with_outputs
from edgetok_exporters.onnx.save import save
from edgetok_exporters.onnx.tidy import tidy
from edgetok_exporters.onnx.translate import table


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
        exported = with_batch(exported, program.dynamic, options.batch)
    model = _convert(program.name, exported, options.opset)
    exposed = finish(model, program, counts)
    tidy(model.graph)
    if options.dtype == "fp16":
        to_fp16(model, io=options.io)
    lower_primitives(model, target.realisations, keep=options.functions == "keep")
    tidy(model.graph)
    return model, exposed


def _convert(name: str, exported: ExportedProgram, opset: int) -> ir.Model:
    try:
        with _quiet():
            made = torch.onnx.export(
                exported,
                (),
                dynamo=True,
                optimize=False,
                verbose=False,
                opset_version=opset,
                custom_translation_table=table(opset),
            )
    except EdgetokError:
        raise
    except Exception as error:
        raise ExportFailed(
            f"torch.onnx cannot export {name!r} at opset {opset}",
            why=_cause(error),
            hint="an operator without a translation can be decomposed before the export, or try another opset",
        ) from error
    assert made is not None
    return made.model


def _cause(error: BaseException) -> str:
    """The innermost cause in one line; ``torch.onnx`` wraps it several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:400] if lines else 'no message'}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings that no user can act on, such as that torchvision is not installed."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
