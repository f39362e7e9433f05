"""``tune``: a model and a goal in; a recipe, ``tune.json`` and ``tune.html`` out."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgetok.bundle import staged
from edgetok.recipe_file import dump_recipe
from edgetok.session.apart import fingerprints
from edgetok.session.clock import Clock
from edgetok.session.optimise import resolve
from edgetok.session.prepare import check_installed, find_tools, prepare, with_weights
from edgetok.session.versions import machine, versions
from edgetok.tune import stages
from edgetok.tune.confirm import confirm, verdict
from edgetok.tune.data import find_samples
from edgetok.tune.judge import Judge
from edgetok.tune.page import render_html
from edgetok.tune.result import Outcome, Point, Tuned
from edgetok.tune.schedule import scaled
from edgetok.tune.setting import Candidate, Setting, searched
from edgetok.tune.stages import Run
from edgetok.tune.study import StudySettings, open_study

if TYPE_CHECKING:
    import optuna

    from edgetok.model import Model
    from edgetok.plugin import TokenReduction
    from edgetok.progress import Progress
    from edgetok.recipe import Recipe
    from edgetok.tune.goal import Goal, Kind

Method = Literal["search", "threshold", "gradient"]
FILES = ("recipe.yaml", "tune.json", "tune.html")


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


def _start(setting: Setting, goal: Goal, clock: Clock, scratch: Path, recipe: Recipe, samples: int) -> Run:
    tuning, labelled, evaluation, how = find_samples(setting.prepared, recipe, samples)
    judge = Judge(setting.prepared.program, tuning, recipe.eval.batch, labelled)
    with clock.stage("dense scores"):
        judge.dense()
    return Run(setting, goal, judge, evaluation, how, clock, scratch, recipe)


def _found(run: Run, method: Method, settings: StudySettings) -> tuple[Tuned, Candidate]:
    study = open_study(settings, run.goal, _about(run)) if method == "search" else None
    run.setting = replace(run.setting, curve=stages.curve(run, study))
    stages.require_possible(run)
    points = stages.constants(run, study)
    if study is None:
        points += stages.thresholds(run) if method == "threshold" else stages.by_gradient(run)
    else:
        points += stages.searched(run, study, settings)
    best = run.goal.best(points) or min(points, key=lambda point: point.kl)
    candidate = _candidate_of(run, best)
    return _result(run, method, settings, study, points, best, candidate), candidate


def _about(run: Run) -> dict[str, Any]:
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


def _candidate_of(run: Run, point: Point) -> Candidate:
    return run.setting.candidate(options=point.options)


def _result(
    run: Run,
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
    "tuning data alone; it and constant r are then compared on the evaluation data (paired bootstrap of the mean KL, "
    "Tango's interval of the drop), and timed side by side with dense: constant r at the same predicted cost or a "
    "little more, of which the one compares that was measured no faster than the schedule."
)


def _confirmed(run: Run, candidate: Candidate) -> tuple[Outcome, Outcome, Any, str]:
    setting, recipe = run.setting, run.recipe
    kind = run.goal.kind
    judge, evaluated = None, "nothing: no evaluation data was given"
    if run.evaluation is not None:
        judge = Judge(setting.prepared.program, run.evaluation, recipe.eval.batch, True)
        evaluated = f"{len(run.evaluation)} samples of {run.evaluation.name}"
    with run.clock.stage("compare with constant r"):
        found, other, ratio = confirm(
            setting,
            candidate,
            _rivals(setting, candidate, kind),
            judge,
            run.samples,
            run.scratch,
            runs=recipe.bench.runs,
            threads=recipe.bench.threads,
            progress=run.clock.progress,
        )
    return found, other, ratio, evaluated


SLACK = (1.0, 1.02, 1.04, 1.06)
"""Constant r is tried at the predicted latency of what was found, times these: a prediction errs by a few percent."""


def _rivals(setting: Setting, candidate: Candidate, kind: Kind) -> list[Candidate]:
    """Constant r at the candidate's cost, and where latency is measured at slightly higher ones, none twice."""
    if not (setting.is_scheduled and any(candidate.removed)):
        return [candidate]
    cost, even = setting.cost(candidate, kind), [1.0] * setting.layers
    slack = SLACK if setting.curve is not None and kind != "tokens" else SLACK[:1]
    made = [scaled(setting, even, min(cost * more, 1.0), kind) for more in slack]
    return list({each.removed: each for each in made}.values())
