"""Writing a lowered program with ``torch.export.save``, and running such a file."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgetok.errors import EdgetokError, RuntimeFailed
from edgetok.exporter import Exported, check_names
from edgetok.lowering import exposed_names, lower
from edgetok.silence import quiet
from edgetok_exporters.pt2 import Options

if TYPE_CHECKING:
    from edgetok.graph.program import Program
    from edgetok.target import Target

NAMES = "edgetok.outputs"
"""Key of the archive's extra file that names the outputs, one a line."""


def export(
    program: Program, target: Target, directory: Path, *, stem: str, options: Options, expose: Sequence[str]
) -> Exported:
    """Write a program; see :meth:`edgetok_exporters.pt2.Pt2Exporter.export`."""
    started = time.perf_counter()
    lowered = lower(program, target, batch=None if options.batch == "dynamic" else int(options.batch), expose=expose)
    exposed = exposed_names(lowered)
    names = [*(spec.name for spec in program.outputs), *(name for group in exposed.values() for name in group)]
    entry = directory / f"{stem}.pt2"
    with quiet():
        torch.export.save(lowered.exported, entry, extra_files={NAMES: "\n".join(names)})
    return Exported(entry, (entry,), time.perf_counter() - started, exposed)


class Pt2Runner:
    """A ``.pt2`` file run by torch. Calling it maps named arrays to named arrays.

    Attributes:
        input_names, output_names: in the program's order.

    Raises:
        RuntimeFailed: torch refuses the file, or it is not safe to load.
    """

    def __init__(self, entry: Path, *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            with quiet():
                self._module, self.input_names, self.output_names = _open(entry)
        except (EdgetokError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise _failure(f"torch cannot load {entry.name}", error) from error
        self.entry = entry

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once.

        Raises:
            RuntimeFailed: names, shapes or dtypes do not fit.
        """
        check_names(self.entry.name, self.input_names, inputs)
        try:
            with torch.inference_mode():
                values = self._module(**{name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in inputs.items()})
        except Exception as error:
            raise _failure(f"torch cannot run {self.entry.name}", error) from error
        return {name: value.numpy() for name, value in zip(self.output_names, values, strict=True)}


def _open(entry: Path) -> tuple[torch.nn.Module, tuple[str, ...], tuple[str, ...]]:
    from torch.export.pt2_archive._package import load_pt2

    from edgetok.sources.archive import check_archive

    with entry.open("rb") as stream:
        check_archive(stream, entry)
        stream.seek(0)
        archive = load_pt2(stream)
    exported = archive.exported_programs["model"]
    names = str(archive.extra_files.get(NAMES, "")).splitlines()
    inputs = tuple(str(name) for name in exported.graph_signature.user_inputs)
    outputs = tuple(names) or tuple(str(name) for name in exported.graph_signature.user_outputs)
    return exported.module(), inputs, outputs


def _failure(what: str, error: Exception) -> RuntimeFailed:
    said = getattr(error, "why", "") or str(error)
    return RuntimeFailed(
        what,
        why=f"{type(error).__name__}: {said.strip()[:500]}",
        hint=f"this is torch {torch.__version__}; check the inputs' shapes and dtypes, or export the model again",
    )
