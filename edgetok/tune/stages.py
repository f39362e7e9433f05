"""The stages of a tuning: what latency costs, and the points that each way of finding schedules comes to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.errors import BadSchedule
from edgetok.session.clock import Clock
from edgetok.session.inputs import Samples
from edgetok.session.interface import batched
from edgetok.tune import curve as curves
from edgetok.tune import study as studies
from edgetok.tune.gradient import learn
from edgetok.tune.guesses import first_guesses
from edgetok.tune.judge import Judge
from edgetok.tune.result import Curve, Point
from edgetok.tune.schedule import scaled
from edgetok.tune.setting import Setting
from edgetok.tune.study import BUDGETS, Search, StudySettings, measured
from edgetok.tune.threshold import calibrate

if TYPE_CHECKING:
    import optuna

    from edgetok.recipe import Recipe
    from edgetok.session.inputs import Fitted
    from edgetok.tune.goal import Goal


@dataclass
class Run:
    """What the stages share."""

    setting: Setting
    goal: Goal
    judge: Judge
    evaluation: Fitted | None
    tuned_on: str
    clock: Clock
    scratch: Path
    recipe: Recipe

    @property
    def samples(self) -> Samples:
        """One sample, to time on."""
        arrays, _ = next(iter(self.judge.data.batches(1)))
        return Samples(arrays, batched(self.setting.prepared.program))


def curve(run: Run, study: optuna.Study | None) -> Curve | None:
    """The latency curve: that of the study where it has one, measured here otherwise; ``None`` where none can be."""
    known = studies.shared_curve(study, run.setting.guessed) if study is not None else None
    if known is not None:
        run.clock.progress.log("latency curve: as measured for this study before")
        return known
    if not run.setting.is_scheduled or (run.goal.kind != "latency" and not curves.is_measurable(run.setting)):
        return None
    bench = run.recipe.bench
    with run.clock.stage("latency curve"):
        found = curves.measure(
            run.setting, run.samples, run.scratch, runs=bench.runs, threads=bench.threads, progress=run.clock.progress
        )
    return found if study is None else studies.share_curve(study, found)


def require_possible(run: Run) -> None:
    """Refuse a budget that nothing meets before searching for it.

    Raises:
        BadSchedule: removing all that may be removed does not meet it.
    """
    setting, goal = run.setting, run.goal
    if goal.kind == "max-drop" or not setting.is_scheduled:
        return
    least = setting.cost(setting.candidate([setting.mergeable] * setting.layers), goal.kind)
    if least > goal.value:
        raise BadSchedule(
            f"No schedule of {setting.plugin.name!r} reaches {goal}.",
            why=f"removing all that it may remove leaves {least:.2f} of dense",
            hint="Ask for less.",
        )


def constants(run: Run, study: optuna.Study | None) -> list[Point]:
    """Constant r over the range of budgets: the baseline, always there; found again where a study has it."""
    if not run.setting.is_scheduled:
        return []
    kind, goal = run.goal.kind, run.goal
    budgets = BUDGETS if kind == "max-drop" else sorted({*BUDGETS[::2], goal.value}, reverse=True)
    made = [scaled(run.setting, [1.0] * run.setting.layers, budget, kind) for budget in budgets]
    unique = list({candidate.removed: candidate for candidate in made}.values())
    known = {point.removed: point for point in (studies.baselines(study) if study is not None else ())}
    with run.clock.stage("constant r", total=len(unique)):
        for candidate in unique:
            if candidate.removed not in known:
                known[candidate.removed] = measured(run.setting, run.judge, candidate, "constant")
                if study is not None:
                    studies.keep_baselines(study, list(known.values()))
            run.clock.progress.advance()
    nothing = [measured(run.setting, run.judge, run.setting.dense, "dense")] if kind == "max-drop" else []
    return [*known.values(), *nothing]


def thresholds(run: Run) -> list[Point]:
    """One threshold of similarity per budget."""
    if not run.setting.is_scheduled:
        raise BadSchedule(f"{run.setting.plugin.name!r} has no schedule that thresholds could be turned into.")
    budgets = BUDGETS if run.goal.kind == "max-drop" else (run.goal.value,)
    with run.clock.stage("thresholds", total=len(budgets)):
        found = [calibrate(run.setting, run.judge, budget, run.goal.kind) for budget in budgets]
    return [measured(run.setting, run.judge, candidate, "threshold") for candidate in found]


def by_gradient(run: Run) -> list[Point]:
    """Counts learned for every budget."""
    if not run.setting.is_scheduled:
        raise BadSchedule(f"{run.setting.plugin.name!r} has no counts per layer that could be learned.")
    budgets = BUDGETS if run.goal.kind == "max-drop" else (run.goal.value,)
    with run.clock.stage("learn rates", total=len(budgets)):
        found = [learn(run.setting, run.judge, budget, run.goal.kind) for budget in budgets]
    return [measured(run.setting, run.judge, learned.candidate, "gradient") for learned in found]


def searched(run: Run, study: optuna.Study, settings: StudySettings) -> list[Point]:
    """What Optuna finds, beside the threshold's schedule, which is measured exactly."""
    search = Search(study, run.setting, run.judge, run.goal)
    exact: list[Point] = []
    along = {}
    if run.setting.is_scheduled:
        budget = 0.7 if run.goal.kind == "max-drop" else run.goal.value
        with run.clock.stage("thresholds"):
            threshold = calibrate(run.setting, run.judge, budget, run.goal.kind)
        exact.append(measured(run.setting, run.judge, threshold, "threshold"))
        along = {"along the threshold's": threshold.removed}
    try:
        search.run(settings.trials, first_guesses(run.setting, along), run.clock.progress)
    except KeyboardInterrupt:
        kept = f"{len(search.points())} trials are kept in {settings.storage}; the same command goes on"
        run.clock.progress.log(kept if settings.storage else "no --storage was given: the trials are lost")
        raise
    return exact + search.points()
