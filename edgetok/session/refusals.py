"""What a target refuses, asked before weights are read or rewritten, before calibration and before any export."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgetok.plugin import WeightPlugin

if TYPE_CHECKING:
    from edgetok.precision import Precision
    from edgetok.session.clock import Clock
    from edgetok.session.prepare import Prepared, Tools
    from edgetok.target import Target


def refuse_options(tools: Tools, precision: Precision | None = None) -> None:
    """Ask the exporter whether its options, and these formats, go with the target; not every exporter is asked.

    Raises:
        TargetRefuses, ExportFailed: they do not.
    """
    check = getattr(tools.exporter, "check", None)
    if check is not None:
        check(tools.target, tools.options, precision)


def refuse_program(prepared: Prepared, clock: Clock) -> Prepared:
    """The same run with its forecast, where the target's table may refuse an operation of the rewritten program.

    A plugin that rewrites weights makes another program, of which this one does not say everything.

    Raises:
        NothingToRewrite: no weight can be stored as a plugin asks for.
        TargetRefuses, ExportFailed: the target runs an operation in no way, or not in these formats.
    """
    from edgetok.graph import rewrite
    from edgetok.session.variants import foresee

    tools = prepared.tools
    packs = any(isinstance(plugin, WeightPlugin) for plugin in tools.plugins)
    chosen = None if packs else tools.precision
    if chosen is not None:
        refuse_options(tools, chosen.declare(prepared.program).precision)
    if not may_refuse(tools.target):
        return prepared
    with clock.stage("forecast"):
        program = rewrite(prepared.program, prepared.steps)
        found = foresee(chosen.declare(program) if chosen else program, tools)
    return prepared if packs else replace(prepared, forecast=found)


def may_refuse(target: Target) -> bool:
    """Whether a target's table has operations that stop an export."""
    return bool(target.ops.source) and bool(target.ops.unsupported or target.ops.default == "unsupported")
