"""The search: an Optuna study over weights of layers, options and, where the goal leaves it free, the budget.

A trial draws how many layers at the beginning are left alone, and weights at a few places along the others; the
schedule proportional to the line through them is scaled to the budget: every trial keeps the goal, and what is searched
is where tokens go. (A weight of its own for every layer would fit the tuning samples before it fits the model.) Where
the goal bounds the loss, the budget is drawn too and the study has two objectives, cost and loss. A study in a storage
is resumed, and joined by other processes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetok.errors import BadCommand, MissingExtra
from edgetok.tune.guesses import latest_start
from edgetok.tune.result import Curve, Point
from edgetok.tune.schedule import scaled, stretched
from edgetok.tune.setting import searched

if TYPE_CHECKING:
    import optuna

    from edgetok.progress import Progress
    from edgetok.tune.goal import Goal
    from edgetok.tune.guesses import Guess
    from edgetok.tune.judge import Judge
    from edgetok.tune.setting import Candidate, Setting

ATTEMPTS = 6
"""Times that a study is made or joined while others make its storage."""
RACES = ("already exists", "UNIQUE constraint", "duplicate key", "no such table", "database is locked")
"""What databases say to the process that is second."""
KNOTS = 5
"""Places along the layers where a trial draws a weight, at most."""
BUDGETS = (0.9, 0.8, 0.7, 0.6, 0.5)
"""Budgets at which constant r is tried where the goal leaves the budget free; other guesses at every other one."""


@dataclass(frozen=True)
class StudySettings:
    """How to search: how many trials here, where the study is kept and under which name, and the sampler's seed."""

    trials: int = 40
    storage: str | None = None
    name: str = "edgetok"
    sampler: str = "tpe"
    seed: int = 0


def open_study(settings: StudySettings, goal: Goal, about: Mapping[str, Any]) -> optuna.Study:
    """Make a study, or join the one that is there.

    Args:
        settings: where, and under which name.
        goal: decides the objectives.
        about: what the study is of; one that is of something else is not joined.

    Raises:
        MissingExtra: optuna is not installed.
        BadCommand: the storage cannot be opened, or holds another study under that name.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("Tuning needs optuna.", hint="pip install 'edgetok[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = _made_or_joined(settings, 2 if goal.kind == "max-drop" else 1)
        digest = hashlib.sha256(json.dumps({**about, "goal": str(goal)}, sort_keys=True).encode()).hexdigest()
        known = study.user_attrs.get("of")
    except Exception as error:
        raise BadCommand(f"the study {settings.name!r} cannot be opened", why=_first_line(error)) from error
    if known not in (None, digest):
        raise BadCommand(
            f"the study {settings.name!r} is of something else",
            why="its model, plugins, their options, target, goal or tuning data differ",
            hint="--study NAME for another one in the same storage",
        )
    study.set_user_attr("of", digest)
    return study


def _made_or_joined(settings: StudySettings, objectives: int) -> optuna.Study:
    """Again where another process makes the storage's tables at the same moment: optuna finds them half made."""
    import optuna

    storage = settings.storage
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return optuna.create_study(
                study_name=settings.name,
                storage=storage if storage is None or "://" in storage else f"sqlite:///{Path(storage).expanduser()}",
                sampler=_sampler(settings),
                directions=["minimize"] * objectives,
                load_if_exists=True,
            )
        except Exception as error:
            if attempt == ATTEMPTS or not _is_race(error):
                raise
            time.sleep(0.2 * attempt)
    raise AssertionError("the last attempt returns or raises")


def _is_race(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is of two processes at one storage."""
    return error is not None and (any(sign in str(error) for sign in RACES) or _is_race(error.__cause__))


def _sampler(settings: StudySettings) -> optuna.samplers.BaseSampler:
    import optuna

    if settings.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=settings.seed)
    return optuna.samplers.TPESampler(seed=settings.seed, multivariate=True)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"


def shared_curve(study: optuna.Study, guessed: Mapping[str, Any]) -> Curve | None:
    """The curve that another process, or an earlier run, measured for this study.

    ``None`` where it was not timed with the options ``guessed``: what moving them costs is not in it.
    """
    found = study.user_attrs.get("curve")
    curve = None if found is None else Curve.model_validate_json(found)
    return curve if curve is not None and curve.guessed == dict(guessed) else None


def share_curve(study: optuna.Study, curve: Curve) -> Curve:
    """Give a curve to the study; the one that counts, where another process was first with the same guesses."""
    first = shared_curve(study, curve.guessed)
    if first is None:
        study.set_user_attr("curve", curve.model_dump_json())
    return first or curve


def baselines(study: optuna.Study) -> list[Point]:
    """Points of constant r that were found before, here or elsewhere."""
    return [Point.model_validate_json(text) for text in study.user_attrs.get("baselines", [])]


def keep_baselines(study: optuna.Study, points: Sequence[Point]) -> None:
    """Let whoever resumes or joins the study have them."""
    study.set_user_attr("baselines", [point.model_dump_json() for point in points])


class Search:
    """What a trial does, and what trials have found."""

    def __init__(self, study: optuna.Study, setting: Setting, judge: Judge, goal: Goal) -> None:
        self.study, self.setting, self.judge, self.goal = study, setting, judge, goal
        self.options = searched(setting.plugin)
        self.latest = latest_start(setting.layers)
        self.knots = min(KNOTS, setting.layers - self.latest)

    def run(self, trials: int, first: Sequence[Guess], progress: Progress) -> None:
        """Try the first guesses, then what the sampler proposes; Ctrl-C keeps what is done."""
        for guess in first:
            for budget in self._budgets(guess):
                self._enqueue(guess, budget)
        with progress.stage("trials", total=trials):
            self.study.optimize(self._objective, n_trials=trials, callbacks=[lambda *_: progress.advance()])

    def _budgets(self, guess: Guess) -> Sequence[float | None]:
        if self.goal.kind != "max-drop" or not self.setting.is_scheduled:
            return (None,)
        return BUDGETS if guess.origin == "constant" else BUDGETS[1::2]

    def _enqueue(self, guess: Guess, budget: float | None) -> None:
        params: dict[str, Any] = {}
        if self.setting.is_scheduled:
            drawn = stretched(guess.weights, self.knots)
            params = {"start": guess.start, **{f"w{i}": w / (max(drawn) or 1.0) for i, w in enumerate(drawn)}}
        if budget is not None:
            params["budget"] = budget
        current = {**self.setting.plugin.model_dump(mode="json"), **guess.options}
        params |= {name: current[name] for name in self.options}
        self.study.enqueue_trial(params, user_attrs={"origin": guess.origin}, skip_if_exists=True)

    def _objective(self, trial: optuna.Trial) -> float | tuple[float, float]:
        candidate = self._candidate(trial)
        point = self._known(candidate) or measured(self.setting, self.judge, candidate)
        point = point.model_copy(update={"origin": trial.user_attrs.get("origin", "search")})
        trial.set_user_attr("point", point.model_dump_json())
        if self.goal.kind == "max-drop":
            return point.cost, point.kl
        over = max(0.0, self.setting.cost(candidate, self.goal.kind) - self.goal.value)
        return point.kl + 100.0 * over

    def _candidate(self, trial: optuna.Trial) -> Candidate:
        options = {name: _suggest(trial, name, space) for name, space in self.options.items()}
        if not self.setting.is_scheduled:
            return self.setting.candidate(options=options)
        start = trial.suggest_int("start", 0, self.latest)
        drawn = [trial.suggest_float(f"w{i}", 0.0, 1.0) for i in range(self.knots)]
        weights = [0.0] * start + stretched(drawn, self.setting.layers - start)
        budget = trial.suggest_float("budget", 0.3, 1.0) if self.goal.kind == "max-drop" else self.goal.value
        return scaled(self.setting, weights, budget, self.goal.kind, options)

    def _known(self, candidate: Candidate) -> Point | None:
        """What was found for the same options before, here or elsewhere."""
        wanted = candidate.plugin.options()
        return next((point for point in (*self.points(), *baselines(self.study)) if point.options == wanted), None)

    def points(self) -> list[Point]:
        """What all processes have found, in the order of trials."""
        found = (trial.user_attrs.get("point") for trial in self.study.get_trials(deepcopy=False))
        return [Point.model_validate_json(text) for text in found if text is not None]


def measured(setting: Setting, judge: Judge, candidate: Candidate, origin: str = "search") -> Point:
    """A candidate's point: what it costs by the curve, and what it loses on the judge's samples."""
    losses = judge(setting.steps(candidate))
    return Point(
        origin=origin,
        options=candidate.plugin.options(),
        tokens=candidate.tokens,
        removed=candidate.removed,
        tokens_share=candidate.tokens_share,
        latency=setting.latency(candidate),
        kl=float(losses.kl.mean()),
        agreement=100.0 * float(losses.agree.mean()),
        drop=losses.drop,
    )


def _suggest(trial: optuna.Trial, name: str, space: Mapping[str, Any]) -> Any:
    if "choices" in space:
        return trial.suggest_categorical(name, list(space["choices"]))
    low, high = space["low"], space["high"]
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high)
    return trial.suggest_float(name, float(low), float(high), log=bool(space.get("log", False)))
