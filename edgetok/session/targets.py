"""What every target will make of a model: said before anything is exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgetok.errors import TargetRefuses
from edgetok.lowering.forecast import Forecast
from edgetok.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgetok.progress import Progress
    from edgetok.recipe import Recipe
    from edgetok.target import Target


class TargetCheck(BaseModel):
    """A plan and what each target makes of it; ``refused`` says why a target cannot be asked."""

    model_config = ConfigDict(frozen=True)

    plan: Plan
    forecasts: tuple[Forecast, ...]
    refused: dict[str, str]


def check_targets(
    recipe: Recipe, targets: Sequence[Target], *, allow_network: bool = False, progress: Progress | None = None
) -> TargetCheck:
    """Capture and rewrite a model once, and forecast it for each target; no weight is read where the source allows.

    Raises:
        EdgetokError: as ``edgetok.session.optimize`` up to the rewritten program.
    """
    from edgetok.graph import rewrite
    from edgetok.lowering import forecasts
    from edgetok.progress import Silent
    from edgetok.session.clock import Clock
    from edgetok.session.interface import fixed_size
    from edgetok.session.precision import choose
    from edgetok.session.prepare import find_tools, prepare

    clock = Clock(progress or Silent())
    tools = find_tools(recipe, target=targets[0], checked=False)
    prepared = prepare(recipe, tools, None, clock, allow_network=allow_network)
    with clock.stage("rewrite"):
        program = rewrite(prepared.program, prepared.steps)
    refused, fit, schemes = {}, [], []
    for target in targets:
        try:
            chosen = choose(tools.plugins, target)
            fit.append(target)
            schemes.append(chosen.scheme if chosen else None)
        except TargetRefuses as error:
            refused[target.name] = error.why
    with clock.stage("lower"):
        found = forecasts(program, fit, batch=fixed_size(tools.options, program) or 1)
    named = (f.model_copy(update={"precision": scheme}) for f, scheme in zip(found, schemes, strict=True))
    return TargetCheck(plan=prepared.plan, forecasts=tuple(named), refused=refused)
