"""The schedule found against constant r: on data it was not chosen on, at latencies measured side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgetok.evaluate.interval import paired_interval
from edgetok.tune.curve import time_all
from edgetok.tune.result import Interval, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetok.bench import Latency
    from edgetok.progress import Progress
    from edgetok.session.inputs import Samples
    from edgetok.tune.goal import Kind
    from edgetok.tune.judge import Judge, Losses
    from edgetok.tune.setting import Candidate, Setting

RESAMPLES = 4000


def confirm(
    setting: Setting,
    candidate: Candidate,
    constants: Sequence[Candidate],
    judge: Judge | None,
    samples: Samples,
    folder: Path,
    *,
    runs: int,
    threads: int,
    progress: Progress,
) -> tuple[Outcome, Outcome, Interval | None]:
    """The outcomes of the candidate found and of constant r, and the ratio of their KLs (below 1: found is better).

    Latency is measured where the setting has a curve, losses where there is a judge. Of ``constants``, each constant r
    of another strength, the fastest one compares that was measured no faster than the candidate; where all are faster,
    the slowest.
    """
    compared, times = constants[0], _Times(None, None)
    if setting.curve is not None:
        tried = [setting.dense, candidate, *constants]
        timed = time_all(setting, tried, samples, folder, runs=runs, threads=threads, progress=progress)
        at = [timed.times[str(i)].p50_ms for i in range(len(tried))]
        nearest = 2 + matched(at[1], at[2:])
        compared, times = tried[nearest], _Times(_time(timed, 1), _time(timed, nearest))
    losses = [None if judge is None else judge(setting.steps(each)) for each in (candidate, compared)]
    found = outcome(setting, candidate, times.found, losses[0])
    constant = outcome(setting, compared, times.constant, losses[1])
    ratio = None if losses[0] is None or losses[1] is None else kl_ratio(losses[0].kl, losses[1].kl)
    return found, constant, ratio


class _Times(NamedTuple):
    """Latency of dense with its interval, and milliseconds; ``None`` where nothing was timed."""

    found: tuple[Interval, float] | None
    constant: tuple[Interval, float] | None


def _time(timed: Latency, place: int) -> tuple[Interval, float]:
    ratio = timed.ratios[str(place)]
    low, high = (1.0 / end for end in reversed(ratio.spread))
    return Interval(value=1.0 / ratio.ratio, low=low, high=high), timed.times[str(place)].p50_ms


def matched(wanted: float, times: Sequence[float]) -> int:
    """The place of the shortest time that is not below the one wanted; of the longest where all are."""
    allowed = [place for place, time in enumerate(times) if time >= wanted]
    if allowed:
        return min(allowed, key=times.__getitem__)
    return max(range(len(times)), key=times.__getitem__)


def outcome(
    setting: Setting, candidate: Candidate, time: tuple[Interval, float] | None, losses: Losses | None
) -> Outcome:
    """What one candidate came to."""
    return Outcome(
        options=candidate.plugin.options(),
        tokens=candidate.tokens,
        predicted=setting.latency(candidate),
        latency=time[0] if time else None,
        milliseconds=time[1] if time else None,
        kl=None if losses is None else float(losses.kl.mean()),
        agreement=None if losses is None else 100.0 * float(losses.agree.mean()),
        drop=None if losses is None else drop(losses),
    )


def drop(losses: Losses) -> Interval | None:
    """The drop in points with its paired 95 % interval; ``None`` without labels."""
    dense, right = losses.dense_right, losses.right
    if dense is None or right is None:
        return None
    only_dense, only_reduced = int((dense & ~right).sum()), int((~dense & right).sum())
    low, high = paired_interval(only_dense, only_reduced, len(dense))
    return Interval(value=100.0 * (only_dense - only_reduced) / len(dense), low=100.0 * low, high=100.0 * high)


def kl_ratio(first: NDArray[np.float64], second: NDArray[np.float64], seed: int = 0) -> Interval | None:
    """Mean KL of the first over that of the second, with the 95 % bootstrap interval over the same samples."""
    if second.mean() <= 0:
        return None
    picks = np.random.default_rng(seed).integers(0, len(first), (RESAMPLES, len(first)))
    ratios = first[picks].mean(1) / np.maximum(second[picks].mean(1), 1e-12)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Interval(value=float(first.mean() / second.mean()), low=float(low), high=float(high))


def verdict(found: Outcome, constant: Outcome, ratio: Interval | None, kind: Kind = "latency") -> str:
    """Whether the schedule beats constant r of the same cost, in words, with what both took as measured.

    ``kind`` of goal says what their costs were matched by: tokens, or latency as measured, or as predicted where it was
    not measured.
    """
    if found.tokens and len({*found.tokens}) == 1 and found.predicted == 1.0:
        return "No token is removed: nothing within the bound is faster than dense."
    if found.options == constant.options:
        return "The best schedule found is constant r itself."
    if ratio is None:
        return "Not compared with constant r: there is no evaluation data."
    figures = f"KL {ratio.value:.2f}x that of constant r (95 %: {ratio.low:.2f} to {ratio.high:.2f})"
    figures += _took(found, constant)
    if found.latency is not None and constant.latency is not None and found.latency.low > constant.latency.high:
        return f"The schedule is slower than constant r as measured, so they do not compare; {figures}."
    at = _matched_by(found, constant, kind)
    if ratio.high < 1:
        return f"The schedule beats constant r {at}: {figures}."
    if ratio.low > 1:
        return f"Constant r is better {at}: {figures}."
    return f"The schedule does not beat constant r beyond doubt {at}: {figures}."


def _matched_by(found: Outcome, constant: Outcome, kind: Kind) -> str:
    if kind == "tokens" or found.predicted is None:
        return "at an equal share of tokens"
    if found.latency is None or constant.latency is None:
        return "at equal predicted latency"
    if found.latency.high < constant.latency.low:
        return "at lower measured latency"
    no_slower = found.milliseconds is None or found.milliseconds <= (constant.milliseconds or 0.0)
    return "at no higher measured latency" if no_slower else "at latencies that measuring cannot tell apart"


def _took(found: Outcome, constant: Outcome) -> str:
    """Both latencies as measured, where they were."""
    if found.milliseconds is None or constant.milliseconds is None:
        return ""
    return f"; measured latency {found.milliseconds:.2f} ms, constant r {constant.milliseconds:.2f} ms"
