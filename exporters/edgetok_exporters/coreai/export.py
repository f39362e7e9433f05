"""The way of a program to an asset: lowered, decomposed, converted, written."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.errors import ExportFailed
from edgetok.exporter import Exported
from edgetok.lowering import exposed_names, lower
from edgetok.silence import quiet

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgetok.graph.program import Program
    from edgetok.target import Target
    from edgetok_exporters.coreai import Options


def export(
    program: Program, target: Target, directory: Path, *, stem: str, options: Options, expose: Sequence[str]
) -> Exported:
    """Write a program as an asset; see :meth:`edgetok_exporters.coreai.CoreAIExporter.export`."""
    started = time.perf_counter()
    lowered = lower(program, target, batch=options.batch, expose=expose)
    exposed = exposed_names(lowered)
    inputs = [spec.name for spec in program.inputs]
    outputs = [*(spec.name for spec in program.outputs), *(name for group in exposed.values() for name in group)]
    entry = _place(directory, stem)
    try:
        with quiet(), redirect_stdout(StringIO()):
            _write(lowered.exported, inputs, outputs, entry)
    except Exception as error:
        raise ExportFailed(
            f"Core AI cannot take {program.name!r}.",
            why=f"{type(error).__name__}: {str(error).strip()[:500]}",
            hint="coreai-torch is in beta: choose target coreml, or report the operation to its authors.",
        ) from error
    files = (entry, *sorted(path for path in entry.rglob("*") if path.is_file()))
    return Exported(entry, files, time.perf_counter() - started, exposed)


def _write(exported: ExportedProgram, inputs: list[str], outputs: list[str], entry: Path) -> None:
    from coreai_torch import TorchConverter, get_decomp_table

    plain = exported.run_decompositions(get_decomp_table())
    converter = TorchConverter().add_exported_program(plain, input_names=inputs, output_names=outputs)
    converter.to_coreai().save_asset(entry)


def _place(directory: Path, stem: str) -> Path:
    """Where an asset goes; an older one there is removed."""
    if Path(stem).name != stem or stem in ("", ".", ".."):
        raise ExportFailed(f"{stem!r} is not a file name", why="it would leave the output directory", hint="")
    path = directory / f"{stem}.aimodel"
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    return path
