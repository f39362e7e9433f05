"""What ``optimize`` gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetok.bundle import Bundle
    from edgetok.plan import Plan
    from edgetok.recipe import Recipe
    from edgetok.report.schema import Report


@dataclass(frozen=True)
class Result:
    """The outcome of one run.

    Attributes:
        recipe: resolved; replays to ``plan.digest``.
        plan: what was done where.
        bundle, report: ``None`` after a dry run.
    """

    recipe: Recipe
    plan: Plan
    bundle: Bundle | None = None
    report: Report | None = None
