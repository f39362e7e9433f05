"""How much of what dropping tokens could save does Token Merging save in ExecuTorch with XNNPACK on this machine?

For ViT shapes, r and threads at batch 1: dense, merged, and the free-drop ceiling (``_ceiling.py``), interleaved in one
process. ``share`` is ceiling time / merged time, 1 being a merging that costs nothing. Also: where operations were
placed, and how long exports take, stage by stage: dense and merged alternate, each pair in the other order, and the
ratio is the median over pairs. Writes ``benchmarks/results/executorch_merging.json``; refuses a busy machine.

    python benchmarks/executorch_merging.py --model ViT-S/16 --r 13 --threads 1
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _ceiling import free_drop
from _setting import load_or_exit, write_result
from _stages import Stages, executorch_places
from _vits import SHAPES, Shape, captured, merged

from edgetok.bench.latency import bench
from edgetok.exporter import Exported
from edgetok.graph import Program, rewrite
from edgetok.registry import installed
from edgetok_exporters.executorch import ExecutorchExporter

PAIRS = 3
RESULT = Path(__file__).resolve().parent / "results" / "executorch_merging.json"
TARGET = installed().target("executorch-xnnpack")
EXPORTER = ExecutorchExporter()


def main() -> int:
    """Measure and write the result."""
    wanted = arguments()
    load = load_or_exit(wanted.allow_load)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for shape in wanted.model for row in measure(shape, wanted, Path(folder))]
    write(wanted, load, rows)
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--allow-load", action="store_true", help="measure on a busy machine; the load is recorded")
    parser.add_argument("--seconds", type=float, default=60.0, help="per setting")
    parser.add_argument("--model", action="append", choices=[shape.name for shape in SHAPES])
    parser.add_argument("--r", type=int, nargs="+", default=[8, 13, 16])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=RESULT)
    found = parser.parse_args()
    found.model = [shape for shape in SHAPES if not found.model or shape.name in found.model]
    return found


def measure(shape: Shape, wanted: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """All settings of one shape."""
    program = captured(shape)
    EXPORTER.export(rewrite(program), TARGET, folder, stem="first")  # what a first export in a process costs more
    rows = []
    for r in wanted.r:
        made = {"ceiling": EXPORTER.export(free_drop(merged(program, r, TARGET)), TARGET, folder, stem="ceiling")}
        pairs = [export_pair(shape, r, folder, turned=index % 2 == 1) for index in range(PAIRS)]
        made.update({name: exported for name, (exported, _) in sorted(pairs[-1].items())})
        exports = {**export_times(pairs), **placed(made)}
        for threads in wanted.threads:
            row = {"model": shape.name, "r": r, "threads": threads, **timed(made, threads, wanted.seconds), **exports}
            rows.append(row)
            print(f"{shape.name} r={r} threads={threads}: {row['speedup']:.3f}x of {row['ceiling']:.3f}x, share "
                  f"{row['share']:.4f}, export {row['export_to_dense']:.2f}x of dense", flush=True)  # fmt: skip
    return rows


def export_pair(shape: Shape, r: int, folder: Path, *, turned: bool) -> dict[str, tuple[Exported, dict[str, float]]]:
    """Dense and merged, or ``turned`` the other way round, each from the model on: the file, and seconds by stage."""
    found = {}
    for name in ("merged", "dense") if turned else ("dense", "merged"):
        stages = Stages()
        with stages.timed("capture"):
            program = captured(shape)
        with stages.timed("rewrite"):
            changed = merged(program, r, TARGET) if name == "merged" else rewrite(program)
        exported = export_by_stages(changed, folder, name, stages)
        found[name] = exported, stages.seconds
    return found


def export_by_stages(program: Program, folder: Path, stem: str, stages: Stages) -> Exported:
    """The file of a program; what none of the stages took is ``rest``."""
    with stages.watching(executorch_places()), stages.timed("rest"):
        return EXPORTER.export(program, TARGET, folder, stem=stem)


def timed(made: dict[str, Exported], threads: int, seconds: float) -> dict[str, Any]:
    """One setting, interleaved; every ratio is to the ceiling's time of the same round, or to dense."""
    pixels = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    found = bench(
        {name: partial(EXPORTER.load, exported.entry, threads=threads) for name, exported in made.items()},
        {"pixel_values": pixels},
        threads=threads,
        seconds=seconds,
        runtime=f"executorch {version('executorch')}",
    )
    p50 = {name: times.p50_ms for name, times in found.times.items()}
    return {
        "speedup": p50["dense"] / p50["merged"],
        "ceiling": p50["dense"] / p50["ceiling"],
        "share": found.ratios["merged"].ratio,
        "share_spread": found.ratios["merged"].spread,
        "share_of_min": found.times["ceiling"].min_ms / found.times["merged"].min_ms,
        "latency": found.model_dump(),
    }


def export_times(pairs: list[dict[str, tuple[Exported, dict[str, float]]]]) -> dict[str, Any]:
    """Medians over pairs of the exporter's seconds and of each stage; the ratio to dense with its least and most."""
    each = [{name: exported.seconds for name, (exported, _) in pair.items()} for pair in pairs]
    ratios = [seconds["merged"] / seconds["dense"] for seconds in each]
    return {
        "export_seconds": {name: statistics.median(seconds[name] for seconds in each) for name in ("dense", "merged")},
        "export_to_dense": statistics.median(ratios),
        "export_to_dense_spread": [min(ratios), max(ratios)],
        "export_pairs": each,
        "export_stages": {
            name: {stage: statistics.median(pair[name][1][stage] for pair in pairs) for stage in pairs[0][name][1]}
            for name in ("dense", "merged")
        },
    }


def placed(made: dict[str, Exported]) -> dict[str, Any]:
    """Where operations were placed, and what files weigh."""
    return {
        "bytes": {name: exported.entry.stat().st_size for name, exported in made.items()},
        "delegation": {name: asdict(exported.delegation) for name, exported in made.items() if exported.delegation},
    }


def write(wanted: argparse.Namespace, load: float | None, rows: list[dict[str, Any]]) -> None:
    """The JSON that documentation is generated from."""
    found = {
        "load_average": load,
        "allowed_load": wanted.allow_load,
        "seconds_per_setting": wanted.seconds,
        "export_pairs": PAIRS,
        "rows": rows,
    }
    write_result(wanted.out, __doc__, found, "executorch")


if __name__ == "__main__":
    raise SystemExit(main())
