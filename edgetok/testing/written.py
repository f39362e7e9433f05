"""One export of one program, for all the checks that look at it: lowering is the slowest thing that a kit does."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from edgetok.testing import zoo
from edgetok.testing.trial import notes, run, subject, text

if TYPE_CHECKING:
    from edgetok.exporter import Exported
    from edgetok.graph import Program
    from edgetok.testing.exporter import ExporterConformance


@dataclass(frozen=True)
class State:
    """What a program is: its graph, the names of its nodes' metadata, its outputs on its example."""

    text: list[str]
    notes: list[list[str]]
    outputs: list[Tensor]

    @classmethod
    def of(cls, program: Program) -> State:
        """The state of a program now."""
        return cls(text(program), notes(program), run(program))


@dataclass(frozen=True)
class Written:
    """What an export left behind.

    Attributes:
        place: kept until the process ends.
        folder: the directory inside ``place`` that the exporter was given.
        exported: what it returned.
        sizes: bytes of every file in ``place``.
        before: the program before the export.
        after: the program after it.
    """

    place: tempfile.TemporaryDirectory[str]
    folder: Path
    exported: Exported
    sizes: Mapping[Path, int]
    before: State
    after: State


_MADE: dict[type[ExporterConformance], Written] = {}


def written(kit: type[ExporterConformance]) -> Written:
    """The export of a dense model by the exporter of a kit class, made once."""
    if kit not in _MADE:
        _MADE[kit] = _write(kit)
    return _MADE[kit]


def _write(kit: type[ExporterConformance]) -> Written:
    program = subject(zoo.short_encoder).dense
    place = tempfile.TemporaryDirectory(prefix="edgetok-kit-")
    folder = Path(place.name, "out")
    folder.mkdir()
    before = State.of(program)
    exported = kit().export(program, folder, stem="other")
    sizes = {path: path.stat().st_size for path in Path(place.name).rglob("*") if path.is_file()}
    return Written(place, folder, exported, sizes, before, State.of(program))
