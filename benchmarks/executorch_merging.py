"""How much of what dropping tokens could save does Token Merging save in ExecuTorch with XNNPACK on this machine?

For ViT shapes, r and threads at batch 1: dense, merged, and the free-drop ceiling (``_ceiling.py``), interleaved in one
process. ``share`` is ceiling time / merged time, 1 being a merging that costs nothing. Also: where operations were
placed, and how long exports take. Writes ``benchmarks/results/executorch_merging.json``; refuses a busy machine.

    python benchmarks/executorch_merging.py --model ViT-S/16 --r 13 --threads 1
"""

from __future__ import annotations

import argparse
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
from _vits import SHAPES, Shape, captured, merged

from edgetok.bench.latency import bench
from edgetok.exporter import Exported
from edgetok.graph import rewrite
from edgetok.registry import installed
from edgetok_exporters.executorch import ExecutorchExporter

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
    dense = EXPORTER.export(rewrite(program), TARGET, folder, stem="dense")
    rows = []
    for r in wanted.r:
        merging = merged(program, r, TARGET)
        made = {"ceiling": EXPORTER.export(free_drop(merging), TARGET, folder, stem="ceiling"), "dense": dense}
        made["merged"] = EXPORTER.export(merging, TARGET, folder, stem="merged")
        for threads in wanted.threads:
            row = {"model": shape.name, "r": r, "threads": threads, **timed(made, threads, wanted.seconds)}
            rows.append({**row, **exports(made)})
            print(f"{shape.name} r={r} threads={threads}: {row['speedup']:.3f}x of {row['ceiling']:.3f}x, "
                  f"share {row['share']:.4f}", flush=True)  # fmt: skip
    return rows


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


def exports(made: dict[str, Exported]) -> dict[str, Any]:
    """Where operations were placed, what files weigh, and how long making them took, the trial run included."""
    seconds = {name: exported.seconds for name, exported in made.items()}
    return {
        "export_seconds": seconds,
        "export_to_dense": seconds["merged"] / seconds["dense"],
        "bytes": {name: exported.entry.stat().st_size for name, exported in made.items()},
        "delegation": {name: asdict(exported.delegation) for name, exported in made.items() if exported.delegation},
    }


def write(wanted: argparse.Namespace, load: float | None, rows: list[dict[str, Any]]) -> None:
    """The JSON that documentation is generated from."""
    found = {
        "load_average": load,
        "allowed_load": wanted.allow_load,
        "seconds_per_setting": wanted.seconds,
        "rows": rows,
    }
    write_result(wanted.out, __doc__, found, "executorch")


if __name__ == "__main__":
    raise SystemExit(main())
