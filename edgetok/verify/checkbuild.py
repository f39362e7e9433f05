"""Check builds: the program exported once more, with inner values as extra outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

    from edgetok.exporter import Exporter, Runner
    from edgetok.graph.program import Program
    from edgetok.target import Target

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Toolchain:
    """How the delivered file was made, so that a check build is made the same way."""

    exporter: Exporter
    target: Target
    options: BaseModel | None = None
    threads: int | None = None


@dataclass(frozen=True)
class CheckBuild:
    """A loaded file with the program's outputs, and inner values by node name; an output may be one of them."""

    runner: Runner
    exposed: Mapping[str, tuple[str, ...]]
    outputs: tuple[str, ...]

    def __call__(self, inputs: Arrays) -> tuple[dict[str, np.ndarray], dict[str, tuple[np.ndarray, ...]]]:
        """Run once: the program's outputs and the exposed values."""
        found = self.runner(inputs)
        values = {node: tuple(found[name] for name in names) for node, names in self.exposed.items()}
        return {name: found[name] for name in self.outputs}, values


def check_build(program: Program, tools: Toolchain, expose: Sequence[str], directory: Path, stem: str) -> CheckBuild:
    """Export ``program`` with the values of the nodes ``expose`` as extra outputs, and load it."""
    made = tools.exporter.export(
        program, tools.target, directory, stem=stem, options=tools.options, expose=list(expose)
    )
    runner = tools.exporter.load(made.entry, threads=tools.threads)
    return CheckBuild(runner, dict(made.exposed), tuple(spec.name for spec in program.outputs))
