"""Interleaved timing."""

import gc
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from edgetok.bench import bench, latency
from edgetok.bench.latency import MIN_RUNS, ratio_of
from edgetok.errors import BenchRefused

INPUTS = {"x": np.zeros((4, 2), np.float32)}


class Clock:
    """A clock that only sleeping moves: what these tests say does not depend on the machine."""

    def __init__(self) -> None:
        self.now = 0

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("nobody can sleep backwards")
        self.now += round(seconds * 1e9)

    def perf_counter(self) -> float:
        return self.now / 1e9

    def perf_counter_ns(self) -> int:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark reads ``CLOCK``."""
    monkeypatch.setattr(latency, "time", CLOCK)


class Sleeper:
    """A runner that takes the time it is told to, and notes when it ran."""

    input_names = ("x",)
    output_names = ("y",)

    def __init__(self, name: str, seconds: float, calls: list[str]) -> None:
        self.name, self.seconds, self.calls = name, seconds, calls

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls.append(self.name)
        CLOCK.sleep(self.seconds)
        return {"y": inputs["x"]}


def sleepers(calls: list[str], **seconds: float) -> dict[str, Callable[[], Sleeper]]:
    return {name: (lambda name=name, wait=wait: Sleeper(name, wait, calls)) for name, wait in seconds.items()}


def test_ratio_is_baseline_over_variant() -> None:
    result = bench(sleepers([], dense=0.02, merged=0.01), INPUTS, threads=1, warmup=1, runs=10, runtime="sleep")
    assert result.baseline == "dense"
    assert result.ratios["merged"].ratio == pytest.approx(2)
    low, high = result.ratios["merged"].spread
    assert low <= result.ratios["merged"].ratio <= high
    times = result.times["dense"]
    assert times.min_ms == times.p50_ms == times.p90_ms == pytest.approx(20)
    assert (result.batch, result.threads, result.runs, result.runtime) == (4, 1, 10, "sleep")


def test_every_round_runs_every_variant_in_changing_order() -> None:
    calls: list[str] = []
    bench(sleepers(calls, a=0, b=0, c=0), INPUTS, threads=1, warmup=2, runs=20)
    rounds = [tuple(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert len(rounds) == 22
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 3


def test_seconds_in_place_of_runs() -> None:
    short = bench(sleepers([], a=0.001, b=0.001), INPUTS, threads=1, warmup=0, seconds=1e-6)
    assert short.runs == MIN_RUNS
    longer = bench(sleepers([], a=0.001, b=0.001), INPUTS, threads=1, warmup=0, seconds=0.2)
    assert longer.runs == 100


def test_paired_ratios_forgive_a_slow_machine() -> None:
    draw = np.random.default_rng(0)
    busy = draw.uniform(1, 10, 400)
    noise = draw.normal(1, 0.01, 400)
    ratio = ratio_of(3 * busy, 2 * busy * noise)
    assert ratio.ratio == pytest.approx(1.5, rel=0.01)
    assert ratio.spread[1] - ratio.spread[0] < 0.02
    assert ratio.quartiles[0] < ratio.spread[0] < ratio.spread[1] < ratio.quartiles[1]


def test_collection_is_switched_back_on() -> None:
    def fail() -> Sleeper:
        runner = Sleeper("a", 0, [])
        runner.seconds = -1
        return runner

    with pytest.raises(ValueError, match="sleep"):
        bench({"a": fail}, INPUTS, threads=1, warmup=0)
    assert gc.isenabled()


@pytest.mark.parametrize("change", [{"variants": {}}, {"runs": 0}, {"warmup": -1}])
def test_nothing_to_time(change: dict) -> None:
    arguments = {"variants": sleepers([], a=0), "runs": 1, "warmup": 0, **change}
    with pytest.raises(BenchRefused):
        bench(arguments.pop("variants"), INPUTS, threads=1, **arguments)
