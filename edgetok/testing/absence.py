"""Running Python without certain packages, for real: to see what is said where they are missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def run_without(packages: Iterable[str], program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a new process whose path lacks some packages; ``folder`` holds what stands in for the path.

    Every directory of ``sys.path`` with one of the packages is replaced by a directory of links to all else in it.
    """
    names = set(packages)
    path = [str(_thinned(Path(entry), names, folder)) for entry in sys.path if entry and Path(entry).exists()]
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {path!r}\n{program}"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)


def _thinned(entry: Path, names: set[str], folder: Path) -> Path:
    if not entry.is_dir() or not any((entry / name).exists() or (entry / f"{name}.py").exists() for name in names):
        return entry
    thin = folder / f"path-{len(list(folder.iterdir()))}"
    thin.mkdir()
    for item in entry.iterdir():
        owner = re.split(r"[-.]", item.name)[0]
        if owner not in names:
            (thin / item.name).symlink_to(item, target_is_directory=item.is_dir())
    return thin
