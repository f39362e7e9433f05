"""The fresh process of :mod:`edgetok.bench.cold`: a request on stdin, figures on stdout."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from functools import reduce
from pathlib import Path
from typing import Any


def main() -> None:
    """Import the runtime, then load the file, then run it once."""
    import numpy as np

    request: dict[str, Any] = json.load(sys.stdin)
    module: Any = importlib.import_module(request["module"])
    exporter = reduce(getattr, request["name"].split("."), module)()
    with np.load(request["inputs"], allow_pickle=False) as archive:
        inputs = {name: archive[name] for name in archive.files}
    with contextlib.suppress(Exception):  # a file that is not there: only the runtime gets imported
        exporter.load(Path(request["inputs"]).with_name("absent") / "absent", threads=request["threads"])
    before = resident_bytes()
    begin = time.perf_counter()
    runner = exporter.load(Path(request["entry"]), threads=request["threads"])
    loaded = time.perf_counter()
    runner(inputs)
    finished = time.perf_counter()
    figures = {
        "load_ms": 1e3 * (loaded - begin),
        "first_run_ms": 1e3 * (finished - loaded),
        "peak_bytes": peak_bytes(),
        "import_bytes": before,
    }
    print(json.dumps(figures))


def resident_bytes() -> int:
    """Resident memory of this process now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """The highest resident memory of this process so far.

    On Linux from ``VmHWM``: ``ru_maxrss`` also counts the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    main()
