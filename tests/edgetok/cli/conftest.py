"""The command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]
ENVIRONMENT = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "HF_HUB_OFFLINE": "1"}


TINY = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        layer = lambda: nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.ModuleList([layer(), layer()])
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return {"logits": self.head(x.mean(1))}

def make():
    torch.manual_seed(0)
    return Tiny().eval(), {"x": torch.randn(2, 12, 16)}
"""
"""A model of 12 tokens that captures, exports and runs in seconds."""


def run_in(folder: Path, *arguments: str, path: Path | None = None, **environment: str) -> Done:
    """Run ``edgetok`` with ``folder`` as the working directory; ``path`` goes on the module path."""
    variables = {k: v for k, v in os.environ.items() if k not in {"EDGETOK_DEBUG", "FORCE_COLOR"}}
    variables |= ENVIRONMENT | environment | ({"PYTHONPATH": str(path)} if path else {})
    return subprocess.run(
        [sys.executable, "-m", "edgetok.cli", *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def edgetok(tmp_path: Path) -> Callable[..., Done]:
    """``edgetok("plugins", "list")`` runs it in an empty folder."""
    return partial(run_in, tmp_path)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    """Runs ``edgetok`` in a folder with the model ``tiny:make``, and its bundle ``out`` made by the first test."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "tiny.py").write_text(TINY)
    run = partial(run_in, folder)
    run.folder = folder  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="session")
def bundle(workshop: Callable[..., Done]) -> Done:
    """What ``optimize --json`` said while it made the bundle ``out`` of the workshop."""
    flags = ["--plugins", "tome:r=2", "--target", "onnx", "--output", "out", "--json", "--save-recipe", "saved.yaml"]
    return workshop("optimize", "tiny:make", *flags, "bench.runs=3", "parity.samples=4")
