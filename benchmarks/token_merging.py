"""How much of what dropping tokens could save does Token Merging save, in onnxruntime on this machine?

For ViT shapes, r, batch and threads: dense, merged, and the free-drop ceiling (``_ceiling.py``), interleaved in one
process. ``share`` is ceiling time / merged time, 1 being a merging that costs nothing. Where a file's weights come to
lie in memory moves its time by a percent or two, so all files are loaded anew several times, in another order each
time; figures are medians over the loads, and the spread is that of the loads. Also: how long exports take, and peak
memory. Writes ``benchmarks/results/token_merging.json``; refuses to run on a busy machine.

    python benchmarks/token_merging.py --model ViT-S/16 --r 13 --batch 1 8 --threads 1
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _ceiling import free_drop
from _setting import load_or_exit, versions, write_result
from _vits import SHAPES, Shape, captured, component_of, merged

from edgetok.bench.cold import measure_cold
from edgetok.bench.latency import Latency, bench
from edgetok.graph import Program, capture, rewrite
from edgetok.registry import installed
from edgetok_exporters.onnx import OnnxExporter

LOADS = 6
RESULT = Path(__file__).resolve().parent / "results" / "token_merging.json"
TARGET = installed().target("onnx-cpu")
EXPORTER = OnnxExporter()
OPTIONS = EXPORTER.Options(**TARGET.options)
Files = dict[str, Path]


def main() -> int:
    """Measure and write the result."""
    wanted = arguments()
    load = load_or_exit(wanted.allow_load)
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    exports: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for shape in wanted.model:
            rows += measure(shape, wanted, Path(folder))
            exports.append(export_times(shape, wanted.r[-1], Path(folder)))
    write(wanted, load, rows, exports)
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--allow-load", action="store_true", help="measure on a busy machine; the load is recorded")
    parser.add_argument("--seconds", type=float, default=30.0, help="per setting")
    parser.add_argument("--model", action="append", choices=[shape.name for shape in SHAPES])
    for name, values in {"r": (8, 13, 16), "batch": (1, 8), "threads": (1, 2)}.items():
        parser.add_argument(f"--{name}", type=int, nargs="+", default=list(values))
    parser.add_argument("--out", type=Path, default=RESULT)
    found = parser.parse_args()
    found.model = [shape for shape in SHAPES if not found.model or shape.name in found.model]
    return found


def measure(shape: Shape, wanted: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """All settings of one shape."""
    program = captured(shape)
    dense = export(rewrite(program), folder, "dense")
    rows = []
    for r in wanted.r:
        merging = merged(program, r, TARGET)
        files = {"ceiling": export(free_drop(merging), folder, "ceiling"), "dense": dense}
        files["merged"] = export(merging, folder, "merged")
        memory = {name: peak_memory(entry) for name, entry in files.items()}
        for batch in wanted.batch:
            for threads in wanted.threads:
                row = {"model": shape.name, "r": r, **timed(files, batch, threads, wanted.seconds)}
                rows.append({**row, "peak_bytes": memory})
                print(f"{shape.name} r={r} batch={batch} threads={threads}: {row['speedup']:.3f}x of "
                      f"{row['ceiling']:.3f}x, share {row['share']:.4f}", flush=True)  # fmt: skip
    return rows


def export(program: Program, folder: Path, stem: str) -> Path:
    """The file of a program."""
    return EXPORTER.export(program, TARGET, folder, stem=stem, options=OPTIONS).entry


def timed(files: Files, batch: int, threads: int, seconds: float) -> dict[str, Any]:
    """One setting: every ratio is to the ceiling's time of the same round, or to dense."""
    pixels = np.random.default_rng(0).standard_normal((batch, 3, 224, 224), dtype=np.float32)
    loads = [load_and_time(files, pixels, threads, seconds / LOADS, seed) for seed in range(LOADS)]
    shares = [found.ratios["merged"].ratio for found in loads]
    return {
        "batch": batch,
        "threads": threads,
        "speedup": statistics.median(found.ratios["merged"].ratio * ceiling_of(found) for found in loads),
        "ceiling": statistics.median(map(ceiling_of, loads)),
        "share": statistics.median(shares),
        "share_spread": [min(shares), max(shares)],
        "loads": [found.model_dump() for found in loads],
    }


def load_and_time(files: Files, pixels: np.ndarray, threads: int, seconds: float, seed: int) -> Latency:
    """All files loaded in an order of their own and timed, interleaved."""
    order = random.Random(seed).sample(sorted(files), len(files))
    return bench(
        {name: partial(EXPORTER.load, files[name], threads=threads) for name in order},
        {"pixel_values": pixels},
        threads=threads,
        seconds=seconds,
        runtime=f"onnxruntime {versions()['onnxruntime']}",
        seed=seed,
        baseline="ceiling",
    )


def ceiling_of(found: Latency) -> float:
    """How much faster than dense the ceiling is."""
    return 1 / found.ratios["dense"].ratio


def peak_memory(entry: Path) -> int:
    """Peak resident bytes of a process that loads a file and runs it once at batch 1."""
    pixels = np.zeros((1, 3, 224, 224), dtype=np.float32)
    return measure_cold(EXPORTER, entry, {"pixel_values": pixels}, threads=1, processes=1).peak_bytes


def export_times(shape: Shape, r: int, folder: Path, repeats: int = 3) -> dict[str, Any]:
    """Seconds, the best of a few: capture, dense and merged, and ``torch.onnx.export`` of the same module."""
    component = component_of(shape)
    program = capture(component)
    dense = partial(export, folder=folder, stem="timed")
    seconds = {
        "capture": best_of(repeats, lambda: capture(component)),
        "dense_export": best_of(repeats, lambda: dense(rewrite(program))),
        "rewrite_and_export": best_of(repeats, lambda: dense(merged(program, r, TARGET))),
        "torch_onnx_export": best_of(repeats, lambda: stock_export(component.module, component.inputs, folder)),
    }
    whole = {
        "dense": seconds["capture"] + seconds["dense_export"],
        "optimized": seconds["capture"] + seconds["rewrite_and_export"],
    }
    ratios = {
        "optimized_to_dense": whole["optimized"] / whole["dense"],
        "rewrite_and_export_to_dense_export": seconds["rewrite_and_export"] / seconds["dense_export"],
        "rewrite_and_export_to_torch_onnx_export": seconds["rewrite_and_export"] / seconds["torch_onnx_export"],
    }
    return {"model": shape.name, "r": r, "repeats": repeats, "seconds": seconds, "whole": whole, "ratios": ratios}


def stock_export(module: Any, inputs: Mapping[str, torch.Tensor], folder: Path) -> None:
    """What a user without edgetok would do."""
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = {"pixel_values": {0: batch}}
    torch.onnx.export(
        module, (), str(folder / "stock.onnx"), kwargs=dict(inputs), dynamo=True, dynamic_shapes=shapes, verbose=False
    )


def best_of(repeats: int, act: Callable[[], object]) -> float:
    """Seconds of the fastest of a few calls."""
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        act()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def write(wanted: argparse.Namespace, load: float | None, rows: list[dict[str, Any]], exports: list[Any]) -> None:
    """The JSON that documentation is generated from."""
    found = {
        "load_average": load,
        "allowed_load": wanted.allow_load,
        "seconds_per_setting": wanted.seconds,
        "rows": rows,
        "exports": exports,
    }
    write_result(wanted.out, __doc__, found)


if __name__ == "__main__":
    raise SystemExit(main())
