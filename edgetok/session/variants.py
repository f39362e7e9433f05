"""The dense and the optimised program side by side: re-traced, exported and loaded the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from edgetok.exporter import Exported, Runner
    from edgetok.graph import Program
    from edgetok.session.clock import Clock
    from edgetok.session.prepare import Prepared, Tools


@dataclass(frozen=True)
class Variant:
    """A program and its file."""

    program: Program
    exported: Exported

    @property
    def bytes(self) -> int:
        """Size of all files of the model."""
        return sum(path.stat().st_size for path in self.exported.files)


@dataclass(frozen=True)
class Variants:
    """What is compared: both went through the same normalisation, tracing and exporter."""

    dense: Variant
    optimised: Variant


def build_variants(prepared: Prepared, delivery: Path, scratch: Path, clock: Clock) -> Variants:
    """Re-trace and export both; the optimised file is written to ``delivery``, the dense one to ``scratch``.

    A plan that changes nothing delivers the dense program itself.
    """
    from edgetok.graph import rewrite

    with clock.stage("rewrite"):
        dense = rewrite(prepared.program)
        optimised = rewrite(prepared.program, prepared.steps) if prepared.steps else dense
    with clock.stage("export"):
        delivered = _export(optimised, prepared.tools, delivery, "model")
    with clock.stage("export dense"):
        baseline = _export(dense, prepared.tools, scratch, "dense")
    return Variants(Variant(dense, baseline), Variant(optimised, delivered))


def _export(program: Program, tools: Tools, directory: Path, stem: str) -> Exported:
    return tools.exporter.export(program, tools.target, directory, stem=stem, options=tools.options)


def load(variant: Variant, tools: Tools, threads: int | None) -> Runner:
    """Open a variant's file."""
    return tools.exporter.load(variant.exported.entry, threads=threads)
