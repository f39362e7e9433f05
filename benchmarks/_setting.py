"""Where something was measured: machine, versions, commit, load; and how results are written."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgetok.bench.quiet import load_average, require_quiet
from edgetok.errors import BenchRefused

PACKAGES = ("torch", "transformers", "onnx", "onnxruntime", "onnxscript")
ROOT = Path(__file__).resolve().parent.parent


def machine() -> str:
    """Processor and cores in words."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        if found:
            return found[0]
    return platform.processor() or "unknown processor"


def versions(*more: str) -> dict[str, str]:
    """Python and what computes; ``more`` are other packages."""
    return {"python": platform.python_version(), **{name: version(name) for name in (*PACKAGES, *more)}}


def commit() -> str:
    """The checkout's commit, marked where files but results differ from it; ``unknown`` outside a checkout."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}-dirty" if changed else head


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def load_or_exit(allowed: bool) -> float | None:
    """The load average. Where the machine is busy and that is not ``allowed``, the process says so and ends."""
    try:
        return load_average() if allowed else require_quiet()
    except BenchRefused as refused:
        print(refused, "  --allow-load measures all the same and records the load.", sep="\n", file=sys.stderr)
        raise SystemExit(refused.exit_status) from None


def write_result(path: Path, about: str | None, found: Mapping[str, Any], *packages: str) -> None:
    """Write the JSON that documentation is generated from: what was measured, when and where, then what was found.

    Args:
        path: the file; its folder is made.
        about: a script's docstring; its first line is kept.
        found: what was found, and how.
        packages: those that computed besides ``PACKAGES``.
    """
    result = {
        "what": (about or "").partition("\n")[0],
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(*packages),
        "commit": commit(),
        **found,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
