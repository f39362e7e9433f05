"""``tune``: a model and a goal in; a recipe, ``tune.json`` and ``tune.html`` out."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgetok.bundle import staged
from edgetok.errors import BadSchedule
from edgetok.recipe_file import dump_recipe
from edgetok.session.apart import fingerprints
from edgetok.session.clock import Clock
from edgetok.session.inputs import Samples
from edgetok.session.interface import batched
from edgetok.session.optimise import resolve
from edgetok.session.prepare import check_installed, find_tools, prepare, with_weights
from edgetok.session.versions import machine, versions
from edgetok.tune import curve as curves
from edgetok.tune import study as studies
from edgetok.tune.confirm import confirm, verdict
from edgetok.tune.data import find_samples
from edgetok.tune.gradient import learn
from edgetok.tune.guesses import first_guesses
from edgetok.tune.judge import Judge
from edgetok.tune.page import render_html
from edgetok.tune.result import Curve, Outcome, Point, Tuned
from edgetok.tune.schedule import scaled
from edgetok.tune.setting import Candidate, Setting, searched
from edgetok.tune.study import BUDGETS, Search, StudySettings, measured, open_study
from edgetok.tune.threshold import calibrate

if TYPE_CHECKING:
    import optuna

    from edgetok.model import Model
    from edgetok.plugin import TokenReduction
    from edgetok.progress import Progress
    from edgetok.recipe import Recipe
    from edgetok.session.inputs import Fitted
    from edgetok.tune.goal import Goal

Method = Literal["search", "threshold", "gradient"]
FILES = ("recipe.yaml", "tune.json", "tune.html")


@dataclass
class _Run:
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


def tune(
    recipe: Recipe,
    goal: Goal,
    output: Path,
    *,
    method: Method = "search",
    settings: StudySettings | None = None,
    samples: int = 256,
    model: Model | None = None,
    allow_network: bool = False,
    progress: Progress | None = None,
) -> Tuned:
    """Find the schedule and options of a token reduction for a goal.

    Args:
        recipe: model, plugin, target and data: ``calibration.data`` is tuned on, ``eval.data`` evaluated on.
        goal: what to reach.
        output: a directory for ``recipe.yaml``, ``tune.json`` and ``tune.html``; new or empty.
        method: ``search`` with Optuna; ``threshold`` or ``gradient`` alone, which need no Optuna.
        settings: of the search.
        samples: to tune on, at most.
        model: in place of loading ``recipe.model``.
        allow_network: let model sources use the network.
        progress: where to show progress.

    Raises:
        EdgetokError: with a code, a cause and a hint; ``output`` is complete or not there.
        BadSchedule: no schedule reaches the goal.
        KeyboardInterrupt: Ctrl-C; a study in a storage keeps its trials, and the same command goes on.
    """
    from edgetok.progress import Silent

    clock = Clock(progress or Silent())
    tools = find_tools(recipe)
    check_installed(tools, recipe)
    chosen = settings or StudySettings()
    with staged(output) as stage, tempfile.TemporaryDirectory(prefix="edgetok-") as folder, clock.interruptible():
        prepared = with_weights(prepare(recipe, tools, model, clock, allow_network=allow_network))
        run = _start(Setting.of(prepared), goal, clock, Path(folder), recipe, samples)
        result, best = _found(run, method, chosen)
        texts = {
            "recipe.yaml": dump_recipe(resolve(run.setting.chosen(best)).model_copy(update={"output": None})),
            "tune.json": result.to_json(),
            "tune.html": render_html(result),
        }
        for name, text in texts.items():
            (stage / name).write_text(text, encoding="utf-8", newline="\n")
    return result


def _start(setting: Setting, goal: Goal, clock: Clock, scratch: Path, recipe: Recipe, samples: int) -> _Run:
    tuning, labelled, evaluation, how = find_samples(setting.prepared, recipe, samples)
    judge = Judge(setting.prepared.program, tuning, recipe.eval.batch, labelled)
    with clock.stage("dense scores"):
        judge.dense()
    return _Run(setting, goal, judge, evaluation, how, clock, scratch, recipe)


def _found(run: _Run, method: Method, settings: StudySettings) -> tuple[Tuned, Candidate]:
    study = open_study(settings, run.goal, _about(run)) if method == "search" else None
    run.setting = replace(run.setting, curve=_curve(run, study))
    _require_possible(run)
    points = _constants(run, study)
    if study is None:
        points += _thresholds(run) if method == "threshold" else _by_gradient(run)
    else:
        points += _searched(run, study, settings)
    best = run.goal.best(points) or min(points, key=lambda point: point.kl)
    candidate = _candidate_of(run, best)
    return _result(run, method, settings, study, points, best, candidate), candidate


def _about(run: _Run) -> dict[str, Any]:
    """What a study is of, as data: two processes that agree on this may share one."""
    prepared = run.setting.prepared
    samples = hashlib.sha256("".join(sorted(fingerprints(run.judge.data))).encode()).hexdigest()
    plugins = [(p.name, _given(p, run.setting)) for p in run.setting.plugins]
    structure = [(site.name, site.tokens) for site in prepared.sites]
    return {"plugins": plugins, "sites": structure, "target": prepared.tools.target.name, "samples": samples}


def _given(plugin: TokenReduction, setting: Setting) -> dict[str, object]:
    """Options with the values that points depend on: of the one that is tuned, all but the schedule, which is found.

    Where there is a schedule, constant r and the curve are of the values given, also of options that are searched.
    """
    if plugin is not setting.plugin:
        return plugin.options()
    if setting.is_scheduled:
        one = plugin.with_schedule([setting.mergeable] * setting.layers)
        return (one or plugin).options()
    return {name: value for name, value in plugin.options().items() if name not in searched(plugin)}


def _curve(run: _Run, study: optuna.Study | None) -> Curve | None:
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


def _require_possible(run: _Run) -> None:
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


def _constants(run: _Run, study: optuna.Study | None) -> list[Point]:
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


def _thresholds(run: _Run) -> list[Point]:
    """One threshold of similarity per budget."""
    if not run.setting.is_scheduled:
        raise BadSchedule(f"{run.setting.plugin.name!r} has no schedule that thresholds could be turned into.")
    budgets = BUDGETS if run.goal.kind == "max-drop" else (run.goal.value,)
    with run.clock.stage("thresholds", total=len(budgets)):
        found = [calibrate(run.setting, run.judge, budget, run.goal.kind) for budget in budgets]
    return [measured(run.setting, run.judge, candidate, "threshold") for candidate in found]


def _by_gradient(run: _Run) -> list[Point]:
    """Counts learned for every budget."""
    if not run.setting.is_scheduled:
        raise BadSchedule(f"{run.setting.plugin.name!r} has no counts per layer that could be learned.")
    budgets = BUDGETS if run.goal.kind == "max-drop" else (run.goal.value,)
    with run.clock.stage("learn rates", total=len(budgets)):
        found = [learn(run.setting, run.judge, budget, run.goal.kind) for budget in budgets]
    return [measured(run.setting, run.judge, learned.candidate, "gradient") for learned in found]


def _searched(run: _Run, study: optuna.Study, settings: StudySettings) -> list[Point]:
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


def _candidate_of(run: _Run, point: Point) -> Candidate:
    return run.setting.candidate(options=point.options)


def _result(
    run: _Run,
    method: Method,
    settings: StudySettings,
    study: optuna.Study | None,
    points: list[Point],
    best: Point,
    candidate: Candidate,
) -> Tuned:
    found, constant, ratio, evaluated = _confirmed(run, candidate)
    prepared, target = run.setting.prepared, run.setting.prepared.tools.target
    kept = f"{settings.name} in {settings.storage}" if settings.storage else f"{settings.name}, not kept"
    return Tuned(
        created=datetime.now(UTC),
        model=prepared.model.name,
        target=target.name,
        runtime=target.runtime,
        plugin=run.setting.plugin.name,
        goal=run.goal,
        method=method,
        reached=run.goal.met_by(best),
        best=best,
        points=tuple(points),
        curve=run.setting.curve,
        found=found,
        constant=constant,
        kl_ratio=ratio,
        verdict=verdict(found, constant, ratio, run.goal.kind),
        tuned_on=run.tuned_on,
        evaluated_on=evaluated,
        study=kept if study is not None else "",
        trials=0 if study is None else len(study.trials),
        how=_HOW,
        versions=versions(target),
        machine=machine(),
    )


_HOW = (
    "Losses: the reduced program walked in torch, against dense, on the same samples. The schedule was chosen on the "
    "tuning data alone; it and constant r at the same predicted cost are then compared on the evaluation data "
    "(paired bootstrap of the mean KL, Tango's interval of the drop), and timed side by side with dense."
)


def _confirmed(run: _Run, candidate: Candidate) -> tuple[Outcome, Outcome, Any, str]:
    setting, recipe = run.setting, run.recipe
    kind = run.goal.kind
    constant = candidate
    if setting.is_scheduled and any(candidate.removed):
        constant = scaled(setting, [1.0] * setting.layers, setting.cost(candidate, kind), kind)
    judge, evaluated = None, "nothing: no evaluation data was given"
    if run.evaluation is not None:
        judge = Judge(setting.prepared.program, run.evaluation, recipe.eval.batch, True)
        evaluated = f"{len(run.evaluation)} samples of {run.evaluation.name}"
    with run.clock.stage("compare with constant r"):
        found, other, ratio = confirm(
            setting,
            (candidate, constant),
            judge,
            run.samples,
            run.scratch,
            runs=recipe.bench.runs,
            threads=recipe.bench.threads,
            progress=run.clock.progress,
        )
    return found, other, ratio, evaluated
