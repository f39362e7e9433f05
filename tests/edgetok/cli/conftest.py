"""The command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]
ENVIRONMENT = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def edgetok(tmp_path: Path) -> Callable[..., Done]:
    """``edgetok("plugins", "list", path=site)`` runs it in an empty folder; ``path`` goes on the module path."""

    def run(*arguments: str, path: Path | None = None, **environment: str) -> Done:
        variables = {k: v for k, v in os.environ.items() if k not in {"EDGETOK_DEBUG", "FORCE_COLOR"}}
        variables |= ENVIRONMENT | environment | ({"PYTHONPATH": str(path)} if path else {})
        return subprocess.run(
            [sys.executable, "-m", "edgetok.cli", *arguments],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


@pytest.fixture
def golden(repository: Path) -> Callable[[str, str], None]:
    """``golden("cli/help.txt", text)`` compares with the kept text; ``EDGETOK_UPDATE_GOLDEN=1`` keeps the new one."""

    def compare(name: str, text: str) -> None:
        path = repository / "tests" / "golden" / name
        text = "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"
        if os.environ.get("EDGETOK_UPDATE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{name} is missing: make golden"
        assert path.read_text(encoding="utf-8") == text, f"{name} differs: if that is meant, make golden"

    return compare
