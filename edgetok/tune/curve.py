"""Latency against tokens, measured on the target's runtime here: a few static programs, and what lies between them.

Every layer of a space is taken to cost the same at the same number of tokens, and costs of layers to add up. The
programs remove tokens early, half-way and everywhere, so that a layer's saving and the cost of a reduction itself can
be told apart; where options are searched that name a guess, constant r is timed with it too, since what they add to a
reduction must not pass for free. The fit is by least squares, and what lies between two measured shares is
interpolated linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgetok.errors import BenchRefused
from edgetok.session.interface import fixed_batch, is_executable
from edgetok.session.latency import simulates
from edgetok.tune.result import Curve, CurveRow

if TYPE_CHECKING:
    from edgetok.bench import Latency
    from edgetok.graph import Program
    from edgetok.progress import Progress
    from edgetok.session.inputs import Samples
    from edgetok.tune.setting import Candidate, Setting

SHARES = (1.0, 0.75, 0.5, 0.25)
"""Shares of the dense tokens at which a layer's saving is fitted."""


def predict(curve: Curve, loads: Sequence[float], merges: int, moved: int = 0) -> float:
    """Latency relative to dense of layers that run on these shares of their tokens, with so many reductions.

    ``moved`` of the reductions have options away from those given.
    """
    saved = sum(float(_weights(load) @ np.asarray(curve.saved)) for load in loads)
    return 1.0 - saved + merges * curve.merge + moved * curve.moved


def _weights(load: float) -> np.ndarray:
    """Linear interpolation between ``SHARES``, extended below the last."""
    out = np.zeros(len(SHARES))
    i = next((i for i in range(1, len(SHARES)) if load >= SHARES[i]), len(SHARES) - 1)
    out[i] = (SHARES[i - 1] - load) / (SHARES[i - 1] - SHARES[i])
    out[i - 1] = 1.0 - out[i]
    return out


def programs(setting: Setting) -> list[Candidate]:
    """What is timed: a quarter, half or three quarters gone from the first layer or the middle one on; constant r.

    Constant r also with guessed options, where the plugin has any.
    """
    layers, tokens = setting.layers, setting.mergeable + 1
    early = [
        [0] * at + list(gone) + [0] * (layers - at - len(gone))
        for at in dict.fromkeys((0, layers // 2))
        for gone in ((tokens // 4,), (tokens // 2,), (tokens // 2, tokens // 4))
        if at + len(gone) <= layers
    ]
    constant = [[tokens // (share * layers)] * layers for share in (4, 2)]
    made = [setting.candidate(removed) for removed in [*early, *constant]]
    found = list({c.removed: c for c in made if any(c.removed)}.values())
    guessed = [setting.candidate(removed, setting.guessed) for removed in constant] if setting.guessed else []
    return [*found, *({c.removed: c for c in guessed if any(c.removed)}.values())]


def measure(setting: Setting, samples: Samples, folder: Path, *, runs: int, threads: int, progress: Progress) -> Curve:
    """Export, time and fit.

    Raises:
        BenchRefused: the target's runtime is not on this machine.
        ExportFailed, RuntimeFailed: a program cannot be exported or run.
    """
    chosen = programs(setting)
    dense = setting.dense
    with progress.stage("export for the curve", total=len(chosen) + 1):
        timed = time_all(setting, [dense, *chosen], samples, folder, runs=runs, threads=threads, progress=progress)
    ratios = [timed.ratios[str(i)] for i in range(1, len(chosen) + 1)]
    measured = [1.0 / ratio.ratio for ratio in ratios]
    moves = [setting.moved(c) for c in chosen]
    saved, merge, moved = fit([c.loads for c in chosen], [c.merges for c in chosen], moves, measured)
    curve = Curve(
        shares=SHARES,
        saved=saved,
        merge=merge,
        moved=moved,
        guessed=dict(setting.guessed),
        dense_ms=timed.times["0"].p50_ms,
        rows=(),
        threads=threads,
        load_average=timed.load_average,
        how="",
    )
    rows = tuple(
        CurveRow(
            removed=c.removed,
            tokens=c.tokens,
            measured=value,
            spread=(1.0 / ratio.spread[1], 1.0 / ratio.spread[0]),
            fitted=predict(curve, c.loads, c.merges, moves[i]),
            guessed=moves[i] > 0,
        )
        for i, (c, value, ratio) in enumerate(zip(chosen, measured, ratios, strict=True))
    )
    worst = max(abs(row.fitted - row.measured) for row in rows)
    how = (
        f"{len(rows)} static programs and dense, {timed.runs} rounds interleaved on {timed.runtime}, {threads} "
        f"thread(s); a layer's saving at {', '.join(f'{s:.0%}' for s in SHARES[1:])} of its tokens and the cost of a "
        f"reduction by least squares, linear between; the fit is off by at most {worst:.3f} of dense"
    )
    return curve.model_copy(update={"rows": rows, "how": how})


def time_all(
    setting: Setting,
    candidates: Sequence[Candidate],
    samples: Samples,
    folder: Path,
    *,
    runs: int,
    threads: int,
    progress: Progress,
) -> Latency:
    """Export and time candidates, interleaved; they are named by their place, and the first is the baseline.

    Raises:
        BenchRefused: the target's runtime is not on this machine.
    """
    from edgetok.bench import bench
    from edgetok.graph import rewrite

    _require_real(setting)
    tools, target = setting.prepared.tools, setting.prepared.tools.target
    entries: list[Path] = []
    for i, candidate in enumerate(candidates):
        program: Program = rewrite(setting.prepared.program, setting.steps(candidate))
        exported = tools.exporter.export(program, target, folder, stem=f"tune{i}", options=tools.options)
        entries.append(exported.entry)
        progress.advance()
    loaders = {str(i): partial(tools.exporter.load, entry, threads=threads) for i, entry in enumerate(entries)}
    return bench(
        loaders,
        samples.filled(fixed_batch(setting.prepared) or 1),
        threads=threads,
        runs=runs,
        runtime=target.runtime,
        progress=progress,
    )


def is_measurable(setting: Setting) -> bool:
    """Whether the target's own runtime opens its files on this machine."""
    tools = setting.prepared.tools
    return is_executable(tools.target) and not simulates(tools.exporter, tools.target)


def _require_real(setting: Setting) -> None:
    target = setting.prepared.tools.target
    if not is_measurable(setting):
        raise BenchRefused(
            f"{target.name} cannot be timed here.",
            why=f"its files are {target.proof} on this machine, whose speed says nothing of the device's",
            hint="Tune for a number of tokens (--tokens 60%), or on the device.",
        )


def fit(
    loads: Sequence[Sequence[float]], merges: Sequence[int], moved: Sequence[int], measured: Sequence[float]
) -> tuple[tuple[float, ...], float, float]:
    """What a layer saves at each of ``SHARES``, what a reduction costs, and what it costs more with options moved.

    None is below zero, and savings do not fall.
    """
    shares = np.stack([np.stack([_weights(load) for load in each]).sum(0) for each in loads])
    columns, target = [*-shares[:, 1:].T, np.asarray(merges), np.asarray(moved)], np.asarray(measured) - 1.0
    free = [i for i, column in enumerate(columns) if i < len(SHARES) - 1 or column.any()]
    while True:
        solution = np.zeros(len(columns))
        solution[free] = np.linalg.lstsq(np.column_stack([columns[i] for i in free]), target, rcond=None)[0]
        negative = [i for i in free if i >= len(SHARES) - 1 and solution[i] < 0]
        if not negative:
            break
        free = [i for i in free if i not in negative]
    *savings, merge, more = solution
    saved = np.maximum.accumulate(np.append(0.0, savings))
    return tuple(float(s) for s in saved), float(merge), float(more)
