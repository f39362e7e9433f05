"""The dense and the optimised program side by side: re-traced, exported and loaded the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgetok.errors import TargetRefuses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgetok.exporter import Exported, Exporter, Runner
    from edgetok.graph import Program
    from edgetok.lowering import Forecast
    from edgetok.session.clock import Clock
    from edgetok.session.inputs import Arrays
    from edgetok.session.prepare import Prepared, Tools
    from edgetok.session.weights import Rewritten


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
    """What is compared: all went through the same normalisation, tracing and exporter.

    ``control`` is the dense program at the precision of the optimised one, where both tokens and bits are fewer: what
    its rounding loses says what the optimised file's may. It also returns what decisions are made of. A source that is
    already packed has one where rounded inputs decide; else its ``dense`` file is of that precision. ``forecast`` is
    what the target's table says of the optimised program.
    """

    dense: Variant
    optimised: Variant
    control: Variant | None = None
    forecast: Forecast | None = None

    @property
    def like_dense(self) -> Variant | None:
        """A dense file of the same arithmetic as the optimised one."""
        quantised = self.optimised.program.precision is not None
        return self.control or (None if quantised else self.dense)


def build_variants(
    prepared: Prepared,
    delivery: Path,
    scratch: Path,
    clock: Clock,
    calibration: Sequence[Arrays] = (),
    weights: Rewritten | None = None,
) -> Variants:
    """Re-trace and export all; the optimised file is written to ``delivery``, others to ``scratch``.

    A plan that changes nothing delivers the dense program itself, exported once. With ``weights`` the optimised program
    is the one with rewritten weights, and the dense one has them as they were.
    """
    from edgetok.graph import rewrite
    from edgetok.session.interface import rounds_inputs

    tools, chosen = prepared.tools, prepared.tools.precision
    with clock.stage("rewrite"):
        source = weights.prepared if weights else prepared
        optimised = rewrite(source.program, source.steps)
        declared = chosen.declare(optimised, calibration) if chosen else optimised
    with clock.stage("forecast"):
        known = prepared.forecast if weights is None else None
        forecast = known or foresee(declared, tools)
    with clock.stage("export"):
        delivered = _export(declared, tools, delivery, "model")
    if not prepared.steps and chosen is None and weights is None:
        return Variants(delivered, delivered, forecast=forecast)
    with clock.stage("rewrite dense"):
        dense = rewrite(prepared.program) if prepared.steps or weights else optimised
    with clock.stage("export dense"):
        plain = _export(dense, tools, scratch, "dense")
        if not prepared.steps or (chosen is None and (weights or not rounds_inputs(prepared))):
            return Variants(plain, delivered, forecast=forecast)
        control = chosen.declare(dense, calibration) if chosen else dense
        shown = _shown(declared, control, tools)
        if chosen is None and not shown:
            return Variants(plain, delivered, forecast=forecast)
        made = _export(control, tools, scratch, "control", shown)
        return Variants(plain, delivered, made, forecast)


def _shown(optimised: Program, control: Program, tools: Tools) -> list[str]:
    """The control's values that the optimised program's decisions are made of; parity compares their noise."""
    from edgetok.session.interface import is_executable
    from edgetok.verify.scores import counterparts

    return list(dict.fromkeys(counterparts(optimised, control).values())) if is_executable(tools.target) else []


def foresee(program: Program, tools: Tools) -> Forecast | None:
    """What the target's table says of a program; ``None`` where it has none.

    Raises:
        TargetRefuses: the target has no way to run an operation.
    """
    target = tools.target
    if not target.ops.source:
        return None
    from edgetok.lowering import forecast
    from edgetok.session.interface import fixed_size

    found = forecast(program, target, batch=fixed_size(tools.options, program) or 1)
    if found.unsupported:
        ops = [f"{row.op} of {row.maker}" + (f" ({row.why})" if row.why else "") for row in found.unsupported]
        raise TargetRefuses(
            f"Target {target.name!r} cannot run this program.",
            why=f"it has no way to run {'; '.join(ops)}",
            hint="`edgetok targets check MODEL --plugins ...` shows which target runs what.",
        )
    return found


def _export(program: Program, tools: Tools, directory: Path, stem: str, expose: Sequence[str] = ()) -> Variant:
    exported = tools.exporter.export(program, tools.target, directory, stem=stem, options=tools.options, expose=expose)
    return Variant(program, exported, tools.exporter)
