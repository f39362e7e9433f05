"""The command line: in this process, and in one of its own where that, or the packages it sees, is the subject."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

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


def run_here(folder: Path, *arguments: str) -> Done:
    """The same in this process, where nothing heavy has to be imported again."""
    from edgetok.cli.main import main

    with pytest.MonkeyPatch.context() as patch, chdir(folder), TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        for name in ("EDGETOK_DEBUG", "FORCE_COLOR"):
            patch.delenv(name, raising=False)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with redirected(1, out) as sys.stdout, redirected(2, err) as sys.stderr:
            status = main(list(arguments))
        said = [file.seek(0) or file.read() for file in (out, err)]
    return Done(arguments, status, *said)


@contextmanager
def redirected(descriptor: int, file: IO[str]) -> Iterator[IO[str]]:
    """A stream that writes to a descriptor, which leads to ``file`` meanwhile, as all that is written to it does."""
    saved, name = os.dup(descriptor), {1: "stdout", 2: "stderr"}[descriptor]
    before = getattr(sys, name)
    os.dup2(file.fileno(), descriptor)
    try:
        with open(descriptor, "w", closefd=False) as stream:
            yield stream
    finally:
        setattr(sys, name, before)
        os.dup2(saved, descriptor)
        os.close(saved)


@pytest.fixture
def edgetok(tmp_path: Path) -> Callable[..., Done]:
    """``edgetok("plugins", "list")`` runs it in an empty folder; with a ``path``, in a process that sees it."""
    return lambda *arguments, **how: (run_in if how else run_here)(tmp_path, *arguments, **how)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    """Runs ``edgetok`` in a folder with the model ``tiny:make``, and its bundle ``out`` made by the first test."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "tiny.py").write_text(TINY)
    run = partial(run_here, folder)
    run.folder = folder  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="session")
def process(workshop: Callable[..., Done]) -> Callable[..., Done]:
    """The same in a process of its own."""
    return partial(run_in, workshop.folder)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def bundle(process: Callable[..., Done]) -> Done:
    """What ``optimize --json`` said, in a process of its own, while it made the bundle ``out`` of the workshop."""
    flags = ["--plugins", "tome:r=2", "--target", "onnx", "--output", "out", "--json", "--save-recipe", "saved.yaml"]
    return process("optimize", "tiny:make", *flags, "bench.runs=3", "parity.samples=4")
