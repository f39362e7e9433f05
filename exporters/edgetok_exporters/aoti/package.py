"""Compiling a lowered program with AOTInductor, and running the package."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edgetok.errors import ExportFailed, RuntimeFailed
from edgetok.exporter import Exported, check_names
from edgetok.lowering import exposed_names, lower
from edgetok.silence import quiet
from edgetok_exporters.aoti import Options

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgetok.graph.program import Program
    from edgetok.target import Target


def export(
    program: Program, target: Target, directory: Path, *, stem: str, options: Options, expose: Sequence[str]
) -> Exported:
    """Compile a program; see :meth:`edgetok_exporters.aoti.AotiExporter.export`."""
    from torch._inductor import aoti_compile_and_package

    started = time.perf_counter()
    lowered = lower(program, target, batch=None if options.batch == "dynamic" else int(options.batch), expose=expose)
    exposed = exposed_names(lowered)
    entry, names = directory / f"{stem}.pt2", directory / f"{stem}.json"
    try:
        with quiet(), torch.no_grad():
            moved = _on(lowered.exported, options.device)
            aoti_compile_and_package(
                moved, package_path=str(entry), inductor_configs={"max_autotune": options.max_autotune}
            )
    except Exception as error:
        raise ExportFailed(
            f"AOTInductor cannot compile {program.name!r} for {options.device}.",
            why=f"{type(error).__name__}: {str(error).strip()[:500]}",
            hint="It needs a C++ compiler (g++), and for a GPU the CUDA toolkit that torch was built with.",
        ) from error
    outputs = [*(spec.name for spec in program.outputs), *(name for group in exposed.values() for name in group)]
    inputs = [spec.name for spec in program.inputs]
    names.write_text(json.dumps({"device": options.device, "inputs": inputs, "outputs": outputs}), encoding="utf-8")
    return Exported(entry, (entry, names), time.perf_counter() - started, exposed)


def _on(exported: ExportedProgram, device: str) -> ExportedProgram:
    from torch.export.passes import move_to_device_pass

    return exported if device == "cpu" else move_to_device_pass(exported, device)


class AotiRunner:
    """A package run by torch. Calling it maps named arrays to named arrays.

    Attributes:
        input_names, output_names: in the program's order.

    Raises:
        RuntimeFailed: torch refuses the package, or its device is not here.
    """

    def __init__(self, entry: Path, *, threads: int | None = None) -> None:
        from torch._inductor import aoti_load_package

        if threads is not None:
            torch.set_num_threads(threads)
        try:
            names: dict[str, Any] = json.loads(entry.with_suffix(".json").read_text(encoding="utf-8"))
            self.device = str(names["device"])
            self.input_names, self.output_names = tuple(names["inputs"]), tuple(names["outputs"])
            self._package = aoti_load_package(str(entry))
        except Exception as error:
            raise _failure(f"torch cannot load {entry.name}", error) from error
        self.entry = entry

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once; on a GPU the time includes copying inputs and outputs.

        Raises:
            RuntimeFailed: names, shapes or dtypes do not fit.
        """
        check_names(self.entry.name, self.input_names, inputs)
        tensors = {n: torch.from_numpy(np.ascontiguousarray(inputs[n])).to(self.device) for n in self.input_names}
        try:
            with torch.inference_mode():
                values = self._package(**tensors)
        except Exception as error:
            raise _failure(f"torch cannot run {self.entry.name}", error) from error
        return {name: value.cpu().numpy() for name, value in zip(self.output_names, values, strict=True)}


def _failure(what: str, error: Exception) -> RuntimeFailed:
    said = getattr(error, "why", "") or str(error)
    return RuntimeFailed(
        what,
        why=f"{type(error).__name__}: {said.strip()[:500]}",
        hint=f"this is torch {torch.__version__}; a package runs on the kind of machine and torch it was made with",
    )
