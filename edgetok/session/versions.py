"""Versions and machine, as reports and manifests state them."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.report.schema import Machine

if TYPE_CHECKING:
    from edgetok.target import Target

_PACKAGES = ("edgetok", "torch", "transformers", "numpy")


def versions(target: Target) -> dict[str, str]:
    """Versions of edgetok and of the packages that it used for a target, where installed."""
    found = {"python": platform.python_version()}
    for name in dict.fromkeys((*_PACKAGES, *target.requires)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> Machine:
    """What the figures are measured on."""
    import psutil

    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count(),
        memory_bytes=int(psutil.virtual_memory().total),
    )


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        return platform.processor()
