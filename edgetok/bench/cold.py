"""Cold load time and peak memory of an exported file, each measured in a fresh process."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from edgetok.errors import RuntimeFailed

if TYPE_CHECKING:
    import numpy as np

    from edgetok.exporter import Exporter

TIMEOUT = 600


class Cold(BaseModel):
    """What loading and first running a file costs; medians over ``processes`` fresh processes.

    ``load_ms`` runs from opening the file to a session that can run, the runtime already imported (the file may be in
    the page cache). ``first_run_ms`` is the first call. ``peak_bytes`` is the highest resident memory of the process;
    ``import_bytes`` of it was there before the file was opened, so ``model_bytes`` is their difference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    load_ms: float
    first_run_ms: float
    peak_bytes: int
    import_bytes: int
    model_bytes: int
    threads: int
    processes: int


def measure_cold(
    exporter: Exporter, entry: Path, inputs: Mapping[str, np.ndarray], *, threads: int, processes: int = 3
) -> Cold:
    """Load ``entry`` with a fresh instance of the exporter's class and run it once, in fresh processes.

    Args:
        exporter: its class must be importable, and constructible without arguments.
        entry: the file that its ``load`` opens.
        inputs: for the one run.
        threads: of the runtime.
        processes: how many times.

    Raises:
        RuntimeFailed: a process fails or takes longer than ten minutes.
    """
    import numpy as np

    kind = type(exporter)
    with tempfile.TemporaryDirectory(prefix="edgetok-cold-") as folder:
        archive = Path(folder) / "inputs.npz"
        np.savez(archive, allow_pickle=False, **inputs)
        request = {
            "module": kind.__module__,
            "name": kind.__qualname__,
            "entry": str(entry),
            "inputs": str(archive),
            "threads": threads,
        }
        results = [_child(request, entry) for _ in range(processes)]
    middle = {key: statistics.median(result[key] for result in results) for key in results[0]}
    return Cold(
        load_ms=middle["load_ms"],
        first_run_ms=middle["first_run_ms"],
        peak_bytes=int(middle["peak_bytes"]),
        import_bytes=int(middle["import_bytes"]),
        model_bytes=int(middle["peak_bytes"]) - int(middle["import_bytes"]),
        threads=threads,
        processes=processes,
    )


def _child(request: Mapping[str, Any], entry: Path) -> dict[str, float]:
    path = os.pathsep.join(part or os.curdir for part in sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(request["threads"])}
    command = [sys.executable, "-m", "edgetok.bench.child"]
    try:
        done = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, env=environment, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailed(f"Loading {entry.name} in a fresh process takes too long.", why=f"{TIMEOUT} s.") from error
    if done.returncode != 0:
        raise RuntimeFailed(
            f"{entry.name} does not load and run in a fresh process.", why=_cause(done.returncode, done.stderr)
        )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _cause(status: int, said: str) -> str:
    """The last line of what a process said, or the signal that killed it."""
    if status < 0:
        return f"its runtime crashed ({signal.Signals(-status).name}): the file is damaged, or made for another version"
    lines = said.strip().splitlines()
    return lines[-1] if lines else f"exit status {status}"
