"""Vela, Arm's compiler: TOSA programs to what an Ethos-U executes, with its estimate of time and memory."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetok.errors import ExportFailed, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from executorch.exir import EdgeProgramManager
    from executorch.exir.lowered_backend_module import LoweredBackendModule

BACKEND = "EthosUBackend"
"""What ExecuTorch's runtime on the device calls it."""

PACKAGES = {"ethosu": "ethos-u-vela", "tosa_serializer": "tosa-tools", "tosa_reference_model": "tosa-tools"}
"""Import names, and the packages that bring them."""


def need() -> None:
    """Refuse to go on without Arm's tools.

    Raises:
        MissingExtra: naming the packages and the pip lines.
    """
    lacking = sorted({package for module, package in PACKAGES.items() if find_spec(module) is None})
    if lacking:
        raise MissingExtra(
            "files for Arm's Ethos-U need Arm's compiler and TOSA tools",
            why=f"not installed here: {', '.join(lacking)}",
            hint="pip install 'edgetok[ethos-u]'; beside NumPy 2.2 or newer, which tosa-tools does not declare: "
            "pip install --no-deps ethos-u-vela==5.1.0 tosa-tools==2026.5.0",
        )


def pieces(edge: EdgeProgramManager) -> dict[str, LoweredBackendModule]:
    """The delegate's pieces by the name of their module."""
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    module = edge.exported_program().graph_module
    return {name: part for name, part in module.named_children() if isinstance(part, LoweredBackendModule)}


def compile_pieces(edge: EdgeProgramManager, accelerator: str) -> dict[str, str | int | float]:
    """Compile every piece in place, and return Vela's estimate for all of them.

    Raises:
        ExportFailed: Vela refuses one, or exits.
    """
    from executorch.backends.arm.ethosu import EthosUCompileSpec
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    spec, estimates = EthosUCompileSpec(accelerator), []
    module = edge.exported_program().graph_module
    for name, piece in pieces(edge).items():
        compiled, estimate = _compile(piece.processed_bytes, spec)
        made = LoweredBackendModule(piece.original_module, BACKEND, compiled, spec._to_list())
        made.meta = piece.meta
        setattr(module, name, made)
        estimates.append(estimate)
    return facts(accelerator, estimates)


def _compile(program: bytes, spec: Any) -> tuple[bytes, Mapping[str, str]]:
    from executorch.backends.arm.arm_vela import vela_compile

    said = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="edgetok-vela-") as folder:
        try:
            with contextlib.redirect_stdout(said):
                compiled = vela_compile(program, list(spec.compiler_flags), intermediate_path=folder)
        except SystemExit as error:
            raise ExportFailed(
                "Vela does not compile a piece of the program.",
                why=said.getvalue().strip()[-400:] or f"it exits with {error.code}",
            ) from error
        return compiled, summary(Path(folder) / "output")


def summary(folder: Path) -> dict[str, str]:
    """The one line of the table that Vela writes, by column."""
    with next(folder.glob("*_summary_*.csv")).open(newline="", encoding="utf-8") as file:
        return next(csv.DictReader(file))


def facts(accelerator: str, estimates: Iterable[Mapping[str, str]]) -> dict[str, str | int | float]:
    """Vela's estimate for pieces that run one after the other.

    Cycles and products are summed, memory is the largest; the CPU's share of the time is in none of them.
    """
    rows = list(estimates)
    found: dict[str, str | int | float] = {"accelerator": accelerator, "compiler": f"Vela {version('ethos-u-vela')}"}
    if rows:
        found["NPU cycles, estimated"] = sum(round(float(row["cycles_total"])) for row in rows)
        found["NPU ms at the accelerator's clock, estimated"] = 1e3 * sum(float(row["inference_time"]) for row in rows)
        found["NPU multiply-accumulates"] = sum(round(float(row["nn_macs"])) for row in rows)
        found["SRAM KiB, largest piece"] = max(float(row["sram_memory_used"]) for row in rows)
    return found
