"""A small merged program, exported once in each way that tests look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx import traceback

from edgetok.exporter import Exported, Runner
from edgetok.graph.program import Program, TensorSpec
from edgetok.ops import bipartite_match, reduce
from edgetok.precision import Precision, Scheme
from edgetok.registry import installed
from edgetok.target import Target

pytest.importorskip("executorch", reason="needs executorch")

TOKENS, WIDTH = 15, 64


class Merging(nn.Module):
    """Patches, one merge by size, a head: the shape of a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(32, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 8)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        y = self.embed(pixels)
        with traceback.annotate({"edgetok": {"module": "merge", "plugin": "tome", "site": "first"}}):
            sizes = y.new_ones(y.shape[:2])
            match = bipartite_match(y, None, 3, 1)
            new = reduce(sizes.unsqueeze(-1), None, *match, "sum").squeeze(-1)
            y = reduce(y, sizes, *match, "mean")
        return self.head(self.norm(y).mean(1)), new.log()


@dataclass(frozen=True)
class Made:
    """One export: the program, the file, and the runner that opened it."""

    program: Program
    exported: Exported
    runner: Runner

    def outputs(self) -> dict[str, np.ndarray]:
        """What the file makes of the program's example."""
        return self.runner({name: value.numpy() for name, value in self.program.example.items()})

    def expected(self) -> list[Tensor]:
        """What torch makes of it."""
        with torch.no_grad():
            return list(self.program.exported.module()(**self.program.example))


def program_of(module: nn.Module, example: dict[str, Tensor]) -> Program:
    """A captured module with a dynamic batch."""
    batch = torch.export.Dim("batch", min=1, max=64)
    with traceback.preserve_node_meta():
        exported = torch.export.export(
            module.eval(), (), example, dynamic_shapes={name: {0: batch} for name in example}
        ).run_decompositions({})
    values = [node.meta["val"] for node in exported.graph.output_node().args[0]]
    return Program(
        name="model",
        exported=exported,
        inputs=tuple(TensorSpec(name, ("batch", *v.shape[1:]), "float32") for name, v in example.items()),
        outputs=tuple(TensorSpec(f"out{i}", ("batch", *v.shape[1:]), "float32") for i, v in enumerate(values)),
        example=example,
        dynamic={name: {0: "batch"} for name in example},
    )


@pytest.fixture(scope="session")
def capture() -> Callable[[nn.Module, dict[str, Tensor]], Program]:
    """``capture(module, example)``: the program, with a dynamic batch."""
    return program_of


@pytest.fixture(scope="session")
def program() -> Program:
    torch.manual_seed(0)
    return program_of(Merging(), {"pixels": torch.randn(2, TOKENS, 32)})


@pytest.fixture(scope="session")
def target() -> Target:
    return installed().target("executorch-xnnpack")


@pytest.fixture(scope="session")
def make(program: Program, target: Target, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """``make(expose=[...], bundled=True, delegate="")``: the program for the target, changed as asked; once each."""
    from edgetok_exporters.executorch import ExecutorchExporter, Options

    def export(precision: Precision | None = None, expose: tuple[str, ...] = (), **settings: Any) -> Made:
        where = target.model_copy(update={k: settings.pop(k) for k in list(settings) if k in Target.model_fields})
        folder = tmp_path_factory.mktemp("executorch")
        wanted = replace(program, precision=precision)
        exporter = ExecutorchExporter()
        options = Options(batch=2, **settings)
        exported = exporter.export(wanted, where, folder, options=options, expose=expose)
        return Made(wanted, exported, exporter.load(exported.entry, threads=1))

    return export


@pytest.fixture(scope="session")
def decision(program: Program) -> str:
    """The name of the match."""
    return next(node.name for node in program.graph.nodes if node.target == torch.ops.edgetok.bipartite_match.default)


@pytest.fixture(scope="session")
def made(make: Callable[..., Made], decision: str) -> Made:
    """For XNNPACK, bundled, with the decision exposed."""
    return make(bundled=True, expose=(decision,))


@pytest.fixture(scope="session")
def quantised(make: Callable[..., Made], program: Program) -> Callable[[Scheme], Made]:
    from edgetok_plugins.quantize.weights import formats

    @cache
    def export(scheme: Scheme) -> Made:
        weights = formats(program, "int4" if scheme.startswith("int4") else "int8", 32, ())
        calibration = [{"pixels": program.example["pixels"].numpy()}] if scheme.endswith("static") else []
        return make(Precision(scheme, weights, calibration))

    return export


@pytest.fixture
def damaged(made: Made, tmp_path: Path) -> Callable[[Callable[[bytes], bytes]], Path]:
    """``damaged(change)``: the path of the file with its bytes changed."""

    def write(change: Callable[[bytes], bytes]) -> Path:
        path = tmp_path / "damaged.pte"
        path.write_bytes(change(made.exported.entry.read_bytes()))
        return path

    return write
