"""What is installed, and what each target can do here."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING

from edgetok.requirements import has_device, missing, pip_line

if TYPE_CHECKING:
    from edgetok.registry import Registry
    from edgetok.target import Target

_EXTRA = re.compile(r"""^(?P<name>[\w.-]+)[^;]*;.*extra\s*==\s*['"](?P<extra>[\w-]+)['"]""")
_BUNDLES = frozenset({"all", "dev"})
"""Extras that only gather others."""
_IMPORT_SECONDS = 120


@dataclass(frozen=True)
class Package:
    """A package edgetok can use: its installed version, and the extra that brings it ('' for a base dependency)."""

    name: str
    version: str | None
    extra: str


@dataclass(frozen=True)
class TargetHealth:
    """Whether a target's exporter and runtime work on this machine."""

    name: str
    exports: bool
    runs: bool
    why_not: str
    fix: str


@dataclass(frozen=True)
class Diagnosis:
    """Everything ``edgetok doctor`` found."""

    python: str
    platform: str
    cpus: int
    packages: tuple[Package, ...]
    targets: tuple[TargetHealth, ...]


def examine(registry: Registry) -> Diagnosis:
    """Look at this machine. Each target's packages are really imported, each in a process of its own."""
    return Diagnosis(
        python=f"{platform.python_version()} ({sys.executable})",
        platform=platform.platform(),
        cpus=os.cpu_count() or 1,
        packages=tuple(packages()),
        targets=tuple(health(registry, found.value) for found in registry.targets.values()),
    )


def packages() -> list[Package]:
    """Base dependencies first, then those of each extra."""
    found: dict[str, Package] = {}
    for requirement in requires("edgetok") or ():
        optional = _EXTRA.match(requirement)
        extra = optional["extra"] if optional else ""
        name = optional["name"] if optional else re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if extra not in _BUNDLES:
            found.setdefault(name, Package(name, _version(name), extra))
    return sorted(found.values(), key=lambda p: (p.extra, p.name))


def health(registry: Registry, target: Target) -> TargetHealth:
    """Whether ``target`` exports and runs here, and what to do where it does not."""
    if target.exporter not in registry.exporters:
        return TargetHealth(target.name, False, False, f"exporter {target.exporter!r} is not installed, or broken", "")
    if lacking := missing(target.requires):
        return TargetHealth(target.name, False, False, f"not installed: {', '.join(lacking)}", pip_line(target))
    if failed := try_imports(target.requires):
        return TargetHealth(target.name, False, False, failed, f"{pip_line(target)} --force-reinstall")
    if not has_device(target):
        return TargetHealth(target.name, False, False, f"there is no {target.device} device here", "")
    if target.proof != "run" or not target.verified_by:
        why = target.verified_by or "its runtime does not exist for this machine"
        return TargetHealth(target.name, True, False, why, "")
    return TargetHealth(target.name, True, True, "", "")


def try_imports(modules: Sequence[str]) -> str:
    """Import each module once, in a process of its own; '' if all goes well, else the last line of what one said."""
    return next((said for said in map(_try_import, modules) if said), "")


@cache
def _try_import(module: str) -> str:
    command = [sys.executable, "-c", f"import {module}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_IMPORT_SECONDS)
    except subprocess.TimeoutExpired:
        return f"importing {module} takes more than {_IMPORT_SECONDS} s"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"importing {module} ends with status {done.returncode}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
