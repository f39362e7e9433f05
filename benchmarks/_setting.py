"""Where something was measured: machine, versions, commit, load."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

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


def versions() -> dict[str, str]:
    """Python and what computes."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def commit() -> str:
    """The checkout's commit, marked where files differ from it; ``unknown`` outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--match", ""],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
