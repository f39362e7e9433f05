"""A small merging classifier, and an exporter whose runtime is torch with faults put in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.fx import Interpreter, Node

from edgetok import ops
from edgetok.exporter import Exported
from edgetok.graph.program import Program, TensorSpec
from edgetok.target import Target
from edgetok.verify.checkbuild import Toolchain
from edgetok.verify.replay import flat_inputs

Fault = Callable[[Node, Any, str], Any]

ANGLES = [0.0, 0.1, 1.0, 1.1 + 1e-6, 2.0, 3.0]
"""Tokens as directions: 0 with 1 is the best pair, 2 with 3 a near-tie, 4 with 5 far worse."""


class Block(nn.Module):
    """A residual layer, with or without one merge in front."""

    def __init__(self, r: int) -> None:
        super().__init__()
        self.r, self.fc = r, nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.r:
            x = ops.reduce(x, None, *ops.bipartite_match(x, None, self.r, 0, "kept"))
        return x + self.fc(x)


class Classifier(nn.Module):
    """Two blocks and a head over flattened tokens, so that the order of tokens matters."""

    def __init__(self, r: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList([Block(r), Block(0)])
        self.head = nn.Linear(2, 3)
        self.head.bias.data[1] += 2.2  # the near-tie then decides between the last two classes
        self.register_buffer("shift", torch.tensor([0.25, -0.5]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        position = torch.arange(x.shape[1], dtype=x.dtype).unsqueeze(-1)
        return self.head((x * (1 + position) + self.shift).sum(1))


def program_of(module: nn.Module, *inputs: Tensor, outputs: Sequence[str] = ("logits",)) -> Program:
    """Capture by torch.export alone, inputs called after ``forward``'s parameters."""
    names = module.forward.__code__.co_varnames[1 : 1 + len(inputs)]
    batch = torch.export.Dim("batch")
    exported = torch.export.export(
        module.eval(), (), kwargs=dict(zip(names, inputs, strict=True)), dynamic_shapes={n: {0: batch} for n in names}
    ).run_decompositions({})
    found = module(*inputs)
    found = (found,) if isinstance(found, Tensor) else found
    spec = lambda name, t: TensorSpec(name, ("batch", *t.shape[1:]), str(t.dtype).removeprefix("torch."))  # noqa: E731
    return Program(
        name="toy",
        exported=exported,
        inputs=tuple(map(spec, names, inputs)),
        outputs=tuple(map(spec, outputs, found)),
        example=dict(zip(names, inputs, strict=True)),
        dynamic={name: {0: "batch"} for name in names},
    )


def directions(*angles: Sequence[float]) -> np.ndarray:
    """``[B, N, 2]`` unit vectors."""
    angle = np.array(angles, np.float32)
    return np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)


class Faulty(Interpreter):
    """Runs a graph with a fault in it, and keeps exposed values."""

    def __init__(self, program: Program, expose: Sequence[str], fault: Fault, stem: str) -> None:
        super().__init__(program.exported.graph_module)
        self.expose, self.fault, self.stem, self.kept = set(expose), fault, stem, {}

    def run_node(self, n: Node) -> Any:
        value = self.fault(n, super().run_node(n), self.stem)
        if n.name in self.expose:
            self.kept[n.name] = value if isinstance(value, tuple) else (value,)
        return value


@dataclass
class FaultyRunner:
    """A runner of a program in torch."""

    program: Program
    expose: Sequence[str]
    fault: Fault
    stem: str

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.program.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.program.outputs)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        interpreter = Faulty(self.program, self.expose, self.fault, self.stem)
        with torch.no_grad():
            values = interpreter.run(*flat_inputs(self.program, inputs))
        found = dict(zip(self.output_names, (v.numpy() for v in values), strict=True))
        for name, parts in interpreter.kept.items():
            found |= {f"{name}.{i}": part.numpy() for i, part in enumerate(parts)}
        return found


class NoOptions(BaseModel):
    """Nothing to choose."""


@dataclass
class FaultyExporter:
    """Writes an empty file and remembers the program; its runtime is torch with ``fault`` after every node."""

    fault: Fault = lambda node, value, stem: value
    made: dict[Path, FaultyRunner] = field(default_factory=dict)
    name: ClassVar[str] = "faulty"
    summary: ClassVar[str] = "torch with faults"
    suffix: ClassVar[str] = ".faulty"
    Options: ClassVar[type[BaseModel]] = NoOptions

    def export(
        self,
        program: Program,
        target: Target,
        directory: Path,
        *,
        stem: str = "model",
        options: BaseModel | None = None,
        expose: Sequence[str] = (),
    ) -> Exported:
        entry = directory / f"{stem}{self.suffix}"
        entry.touch()
        self.made[entry] = FaultyRunner(program, expose, self.fault, stem)
        nodes = {node.name: node for node in program.exported.graph.nodes}
        counts = {
            name: len(nodes[name].meta["val"]) if isinstance(nodes[name].meta["val"], tuple) else 1 for name in expose
        }
        exposed = {name: tuple(f"{name}.{i}" for i in range(counts[name])) for name in expose}
        return Exported(entry, (entry,), 0.0, exposed)

    def load(self, entry: Path, *, threads: int | None = None) -> FaultyRunner:
        return self.made[entry]

    @property
    def tools(self) -> Toolchain:
        return Toolchain(self, Target(name="t", summary="t", exporter="faulty", runtime="torch"))

    def deliver(self, program: Program, directory: Path) -> FaultyRunner:
        return self.load(self.export(program, self.tools.target, directory).entry)


@dataclass(frozen=True)
class Lab:
    """What a test needs, as fixtures cannot be imported."""

    Classifier: ClassVar = Classifier
    Exporter: ClassVar = FaultyExporter
    program_of: ClassVar = staticmethod(program_of)
    directions: ClassVar = staticmethod(directions)
    batch: dict[str, np.ndarray] = field(default_factory=lambda: {"x": directions(ANGLES, ANGLES)})


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.fixture(scope="session")
def merging(lab: Lab) -> Program:
    """Classifies six tokens, merging one pair."""
    return program_of(Classifier(r=1), torch.randn(2, 6, 2))


@pytest.fixture(scope="session")
def dense(lab: Lab) -> Program:
    """The same without merging."""
    return program_of(Classifier(r=0), torch.randn(2, 6, 2))
