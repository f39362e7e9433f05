"""What an exporter is: Program -> file, and how that file is loaded and run where it can be run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

from edgetok.errors import RuntimeFailed, TargetRefuses

if TYPE_CHECKING:
    import numpy as np

    from edgetok.graph.program import Program
    from edgetok.target import Target

    Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Delegation:
    """What a toolchain placed where, counted on what it made.

    Attributes:
        delegate: the part of the runtime that was asked to run as much as possible.
        inside: operations in it.
        outside: operations that it left to the rest of the runtime, by name.
        partitions: pieces that run in it; every further piece costs a transition.
        bytes: size of what it was given, where known.
        facts: further figures of the toolchain, such as a compiler's cycle estimate.
        how: how this was counted.
    """

    delegate: str
    inside: int
    outside: Mapping[str, int]
    partitions: int
    bytes: int | None = None
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    how: str = ""


@dataclass(frozen=True)
class Exported:
    """Files written by an exporter: ``entry`` is what a runtime opens, ``files`` is all of them."""

    entry: Path
    files: tuple[Path, ...]
    seconds: float
    exposed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For a check build: graph node name -> the runtime's output names that carry its values."""
    delegation: Delegation | None = None
    """Where the toolchain says what it placed where."""
    weights: int | None = None
    """Bytes of weights in the files, where the exporter can tell them from the graph."""


@runtime_checkable
class Runner(Protocol):
    """A loaded file. Calling it maps named arrays to named arrays; the order of outputs is the program's."""

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run once."""
        ...


def check_names(file: str, takes: Sequence[str], given: Arrays) -> None:
    """Refuse inputs that are not those a file takes.

    Raises:
        RuntimeFailed: naming both.
    """
    if set(given) != set(takes):
        raise RuntimeFailed(
            f"{file} was given the wrong inputs",
            why=f"it takes {', '.join(takes)}; given: {', '.join(given) or 'none'}",
            hint="pass one array per input name",
        )


def refuse_precision(exporter: str, program: Program) -> None:
    """Refuse a program with formats, for an exporter that fulfils none.

    Raises:
        TargetRefuses: naming the scheme.
    """
    if program.precision is not None:
        raise TargetRefuses(
            f"The {exporter} exporter does not quantise.",
            why=f"{program.precision.scheme} was asked for",
            hint="Choose a target whose precisions list it: edgetok targets info NAME.",
        )


class Exporter(Protocol):
    """One file format.

    ``program.precision`` says which weights to quantise and how; an exporter fulfils it or raises ``TargetRefuses``.

    ``Options`` is a frozen pydantic model whose fields are the exporter's options. ``expose`` names nodes of
    ``program.exported.graph`` whose values become extra outputs of the file (a *check build*).

    It may have ``check(target, options, precision)``, which raises what ``export`` would, where that is known without a
    program: it is asked before weights are read and calibrated, with the formats once they are known, else ``None``.
    And ``simulates()``: whether ``load`` opens files here in no runtime of the target's; else the target's proof says.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    suffix: ClassVar[str]
    Options: ClassVar[type[BaseModel]]

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
        """Write the program's file(s) into ``directory``."""
        ...

    def load(self, entry: Path, *, threads: int | None = None) -> Runner:
        """Open a file for running here."""
        ...
