"""Which runner opens a file: ExecuTorch's runtime, unless the file is for a processor that is simulated here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetok.exporter import Runner


def load(entry: Path, *, threads: int | None = None) -> Runner:
    """Open a file; see :meth:`edgetok_exporters.executorch.ExecutorchExporter.load`."""
    from edgetok_exporters.executorch.runner import ExecutorchRunner

    return ExecutorchRunner(entry, threads=threads)
