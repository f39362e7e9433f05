"""Variants of a model timed call by call, interleaved, so that what disturbs one disturbs all."""

from __future__ import annotations

import gc
import random
import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgetok.bench.quiet import load_average
from edgetok.errors import BenchRefused
from edgetok.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgetok.exporter import Runner
    from edgetok.progress import Progress

MIN_RUNS = 5
_RESAMPLES = 2000


class Times(BaseModel):
    """Milliseconds per call of one variant: median, 90th percentile and fastest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p50_ms: float
    p90_ms: float
    min_ms: float


class Ratio(BaseModel):
    """How many times faster than the baseline: the median over rounds of baseline time / variant time.

    ``spread`` is the 95 % bootstrap interval of that median, ``quartiles`` the middle half of the rounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: float
    spread: tuple[float, float]
    quartiles: tuple[float, float]


class Latency(BaseModel):
    """Times of all variants, and each one's ratio to the first, the baseline (above 1 is faster)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: str
    times: dict[str, Times]
    ratios: dict[str, Ratio]
    batch: int | None
    threads: int
    runs: int
    warmup: int
    runtime: str
    load_average: float | None
    """Of the machine when the benchmark began, over one minute."""
    how: str


def bench(
    variants: Mapping[str, Callable[[], Runner]],
    inputs: Mapping[str, np.ndarray],
    *,
    threads: int,
    warmup: int = 3,
    runs: int = 20,
    seconds: float | None = None,
    runtime: str = "",
    seed: int = 0,
    baseline: str | None = None,
    progress: Progress | None = None,
) -> Latency:
    """Time every variant once per round, in an order drawn anew each round.

    Args:
        variants: how to load each variant, in the order of loading. Load them all with ``threads`` threads.
        inputs: given to every call; the first one's axis 0 is the batch that is stated.
        threads: that the runners use; stated in the result.
        warmup: rounds that are not counted.
        runs: counted rounds; with ``seconds`` as many as fit into that time, at least 5.
        seconds: time for counted rounds, in place of ``runs``.
        runtime: its name and version, stated in the result.
        seed: of the order within rounds and of the bootstrap.
        baseline: the variant that the others are compared with; the first by default.
        progress: told of every counted round.

    Raises:
        BenchRefused: there are no variants, or fewer than one run is asked for.
    """
    if not variants or runs < 1 or warmup < 0:
        raise BenchRefused(
            "There is nothing to time.", why=f"{len(variants)} variants, {runs} runs, {warmup} warm-ups."
        )
    load = load_average()
    runners = {name: make() for name, make in variants.items()}
    order = random.Random(seed)
    for _ in range(warmup):
        _round(runners, inputs, order)
    rounds = _rounds(runners, inputs, order, runs, seconds, progress or Silent())
    baseline = baseline or next(iter(variants))
    times = {name: _array([each[name] for each in rounds]) for name in variants}
    return Latency(
        baseline=baseline,
        times={name: _times(values) for name, values in times.items()},
        ratios={name: ratio_of(times[baseline], values, seed) for name, values in times.items() if name != baseline},
        batch=next((int(array.shape[0]) for array in inputs.values() if array.ndim), None),
        threads=threads,
        runs=len(rounds),
        warmup=warmup,
        runtime=runtime,
        load_average=load,
        how=(
            f"{len(rounds)} rounds after {warmup} warm-ups, variants interleaved in one process in random order; "
            "ratio: median of paired ratios with its 95 % bootstrap interval"
        ),
    )


def ratio_of(baseline: NDArray[np.float64], variant: NDArray[np.float64], seed: int = 0) -> Ratio:
    """Paired ratios of two equally long series of times, by round."""
    import numpy as np

    ratios = baseline / variant
    picks = np.random.default_rng(seed).integers(0, len(ratios), (_RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[picks], axis=1), [2.5, 97.5])
    first, middle, third = np.percentile(ratios, [25, 50, 75])
    return Ratio(ratio=float(middle), spread=(float(low), float(high)), quartiles=(float(first), float(third)))


def _rounds(
    runners: Mapping[str, Runner],
    inputs: Mapping[str, np.ndarray],
    order: random.Random,
    runs: int,
    seconds: float | None,
    progress: Progress,
) -> list[dict[str, int]]:
    rounds: list[dict[str, int]] = []
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    end = None if seconds is None else time.perf_counter() + seconds
    try:
        with progress.stage("bench", total=None if seconds else runs):
            while len(rounds) < (runs if end is None else MIN_RUNS) or (end and time.perf_counter() < end):
                rounds.append(_round(runners, inputs, order))
                progress.advance()
    finally:
        if collecting:
            gc.enable()
    return rounds


def _round(runners: Mapping[str, Runner], inputs: Mapping[str, np.ndarray], order: random.Random) -> dict[str, int]:
    """Nanoseconds of one call of each runner."""
    taken = {}
    for name in order.sample(list(runners), len(runners)):
        begin = time.perf_counter_ns()
        runners[name](inputs)
        taken[name] = time.perf_counter_ns() - begin
    return taken


def _array(nanoseconds: Sequence[int]) -> NDArray[np.float64]:
    import numpy as np

    return np.asarray(nanoseconds, np.float64) / 1e6


def _times(values: NDArray[np.float64]) -> Times:
    import numpy as np

    p50, p90 = np.percentile(values, [50, 90])
    return Times(p50_ms=float(p50), p90_ms=float(p90), min_ms=float(values.min()))
