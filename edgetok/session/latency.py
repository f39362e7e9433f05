"""Latency, memory and load time of both files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edgetok.errors import BenchRefused, BundleNotFound
from edgetok.report.cost import Latency, LatencyRow, LoadMs, Memory
from edgetok.session.inputs import Samples
from edgetok.session.interface import fixed_batch, is_executable

if TYPE_CHECKING:
    from edgetok.bench import Cold
    from edgetok.bench import Latency as Timed
    from edgetok.bundle import Bundle
    from edgetok.exporter import Exporter
    from edgetok.recipe import BenchSettings, Recipe
    from edgetok.session.clock import Clock
    from edgetok.session.inputs import Arrays
    from edgetok.session.prepare import Prepared
    from edgetok.session.variants import Variants
    from edgetok.target import Target

_OFF = "Not measured: bench.enabled is false."
_SIMULATED = "Not measured: here the file is {proof}, whose speed says nothing of the device's."
_COLD = "Median of {n} fresh processes, each loading the file and running it once with {threads} thread(s)"


@dataclass(frozen=True)
class Cost:
    """What running both files costs here."""

    latency: Latency
    memory: Memory
    load_ms: LoadMs


def measure_cost(prepared: Prepared, recipe: Recipe, variants: Variants, samples: Samples, clock: Clock) -> Cost:
    """Interleaved latency at every batch size of the recipe; memory and load time in fresh processes."""
    if not recipe.bench.enabled:
        return _unmeasured(_OFF)
    target = prepared.tools.target
    if not is_executable(target) or simulates(prepared.tools.exporter, target):
        return _unmeasured(_SIMULATED.format(proof=target.proof))
    fixed = fixed_batch(prepared)
    sizes = (fixed,) if fixed else recipe.bench.batches
    timed = [_time(prepared, recipe, variants, samples.filled(size), clock) for size in sizes]
    rows = [_row(t) for t in timed]
    latency = Latency(
        **rows[0].model_dump(), how=timed[0].how, load_average=timed[0].load_average, more=tuple(rows[1:])
    )
    return _with_cold(prepared, recipe.bench, variants, samples.filled(sizes[0]), latency)


def _unmeasured(why: str) -> Cost:
    return Cost(Latency(how=why), Memory(how=why), LoadMs(how=why))


def _time(prepared: Prepared, recipe: Recipe, variants: Variants, inputs: Arrays, clock: Clock) -> Timed:
    from edgetok.bench import bench

    settings, both = recipe.bench, {"dense": variants.dense, "optimized": variants.optimised}
    return bench(
        {name: partial(variant.runner, settings.threads) for name, variant in both.items()},
        inputs,
        threads=settings.threads,
        runs=settings.runs,
        runtime=prepared.tools.target.runtime,
        seed=recipe.seed,
        progress=clock.progress,
    )


def _row(timed: Timed) -> LatencyRow:
    dense, optimised, ratio = timed.times["dense"], timed.times["optimized"], timed.ratios["optimized"]
    return LatencyRow(
        dense_ms=dense.p50_ms,
        optimized_ms=optimised.p50_ms,
        ratio=ratio.ratio,
        spread=ratio.spread,
        dense_p90_ms=dense.p90_ms,
        optimized_p90_ms=optimised.p90_ms,
        threads=timed.threads,
        batch=timed.batch,
        runtime=timed.runtime,
        runs=timed.runs,
    )


def _with_cold(
    prepared: Prepared, settings: BenchSettings, variants: Variants, inputs: Arrays, latency: Latency
) -> Cost:
    from edgetok.bench import measure_cold

    dense, optimised = (
        measure_cold(prepared.tools.exporter, v.exported.entry, inputs, threads=settings.threads)
        for v in (variants.dense, variants.optimised)
    )
    how = _COLD.format(n=dense.processes, threads=dense.threads)
    memory = Memory.of(dense.peak_bytes, optimised.peak_bytes, f"{how}; peak resident memory, runtime included.")
    return Cost(latency, memory, LoadMs.of(dense.load_ms, optimised.load_ms, f"{how}; opening to ready."))


@dataclass(frozen=True)
class BundleCost:
    """What a bundle costs here: times per batch size, and a cold start."""

    timed: tuple[Timed, ...]
    cold: Cold


def measure_bundle(bundle: Bundle, exporter: Exporter, settings: BenchSettings, target: Target) -> BundleCost:
    """Time a delivered file alone, on its own vectors; first in fresh processes, which a damaged file may kill.

    Raises:
        BundleNotFound: it has none.
        BenchRefused: here the file is simulated only, or not executed at all.
        RuntimeFailed: its runtime refuses the file.
    """
    from edgetok.bench import bench, measure_cold
    from edgetok.bundle.vectors import read_vectors

    if not is_executable(target) or simulates(exporter, target):
        raise _refused(target)
    manifest = bundle.manifest
    if manifest.vectors is None:
        raise BundleNotFound(f"{bundle.path} holds no parity vectors.", why="its manifest names none")
    arrays, _ = read_vectors(bundle.path / manifest.vectors.file)
    entry = bundle.entry(manifest.vectors.component)
    samples = Samples(arrays, _rows(bundle, arrays))
    sizes = settings.batches if _is_dynamic(bundle) else (len(samples),)
    cold = measure_cold(exporter, entry, samples.filled(sizes[0]), threads=settings.threads)
    timed = tuple(
        bench(
            {"bundle": partial(exporter.load, entry, threads=settings.threads)},
            samples.filled(size),
            threads=settings.threads,
            runs=settings.runs,
            runtime=manifest.runtime,
        )
        for size in sizes
    )
    return BundleCost(timed, cold)


def simulates(exporter: Exporter, target: Target) -> bool:
    """Whether an exporter opens a target's files here in no runtime of the target's; no file is opened to say so."""
    says = getattr(exporter, "simulates", None)
    return target.proof != "run" and (says is None or bool(says()))


def _refused(target: Target) -> BenchRefused:
    return BenchRefused(
        f"{target.name} cannot be timed here.",
        why=f"the file is {target.proof} on this machine, whose speed says nothing of the device's",
        hint="Time it on the device.",
    )


def _rows(bundle: Bundle, arrays: Arrays) -> frozenset[str]:
    """The inputs with one entry per recorded sample."""
    vectors = bundle.manifest.vectors
    assert vectors is not None
    return frozenset(name for name, array in arrays.items() if array.ndim and len(array) == vectors.samples)


def _is_dynamic(bundle: Bundle) -> bool:
    return any(isinstance(size, str) for c in bundle.manifest.components for t in c.inputs for size in t.shape[:1])
