"""The dense and the optimised program side by side: re-traced, exported and loaded the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from edgetok.exporter import Exported, Exporter, Runner
    from edgetok.graph import Program
    from edgetok.session.clock import Clock
    from edgetok.session.prepare import Prepared, Tools


@dataclass(frozen=True)
class Variant:
    """A program and its file."""

    program: Program
    exported: Exported
    exporter: Exporter
    _runners: dict[int | None, Runner] = field(default_factory=dict, repr=False)

    @property
    def bytes(self) -> int:
        """Size of all files of the model."""
        return sum(path.stat().st_size for path in self.exported.files)

    def runner(self, threads: int | None) -> Runner:
        """The file, opened once per number of threads; ``None`` is all cores."""
        if threads not in self._runners:
            self._runners[threads] = self.exporter.load(self.exported.entry, threads=threads)
        return self._runners[threads]


@dataclass(frozen=True)
class Variants:
    """What is compared: both went through the same normalisation, tracing and exporter."""

    dense: Variant
    optimised: Variant


def build_variants(prepared: Prepared, delivery: Path, scratch: Path, clock: Clock) -> Variants:
    """Re-trace and export both; the optimised file is written to ``delivery``, the dense one to ``scratch``.

    A plan that changes nothing delivers the dense program itself, exported once.
    """
    from edgetok.graph import rewrite

    with clock.stage("rewrite"):
        optimised = rewrite(prepared.program, prepared.steps)
    with clock.stage("export"):
        delivered = _export(optimised, prepared.tools, delivery, "model")
    if not prepared.steps:
        return Variants(delivered, delivered)
    with clock.stage("rewrite dense"):
        dense = rewrite(prepared.program)
    with clock.stage("export dense"):
        return Variants(_export(dense, prepared.tools, scratch, "dense"), delivered)


def _export(program: Program, tools: Tools, directory: Path, stem: str) -> Variant:
    exported = tools.exporter.export(program, tools.target, directory, stem=stem, options=tools.options)
    return Variant(program, exported, tools.exporter)
