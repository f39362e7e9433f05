"""What do matching, merging and the size bias cost, as a share of a transformer block in stock onnxruntime?

Two settings at 384 channels, batch 1, one thread: Token Merging at 197 tokens, and merging in tiles at 4097. A program
of three blocks merges after the first two attentions; its ceiling (``_ceiling.py``) slices as many tokens off at
the same places and has no bias. So (merged - ceiling) / 2 is what one merge costs with all that follows from it, and
(dense - one block) / 2 what a block costs at full length: every figure is a difference of times taken in the same
rounds, and none needs a profiler, whose own cost per node is as large as these nodes are. Writes
``benchmarks/results/block_share.json``; refuses a busy machine.

    python benchmarks/block_share.py
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _ceiling import free_drop
from _setting import load_or_exit, versions, write_result
from _vits import Shape, captured, reduced

from edgetok.bench.latency import Latency, bench
from edgetok.graph import Program, rewrite
from edgetok.registry import installed
from edgetok.schedule import Scheduled
from edgetok_exporters.onnx import OnnxExporter
from edgetok_plugins.local_merge import LocalMerge
from edgetok_plugins.tome import ToMe

LAYERS, MERGES = 3, 2
RESULT = Path(__file__).resolve().parent / "results" / "block_share.json"
TARGET = installed().target("onnx-cpu")
EXPORTER = OnnxExporter()
OPTIONS = EXPORTER.Options(**TARGET.options)


@dataclass(frozen=True)
class Case:
    """A picture size, the reduction, how many tokens it merges at a time, and the share it should stay under."""

    image: int
    plugin: type[Scheduled]
    removed: int
    goal: float

    def shape(self, layers: int) -> Shape:
        """So many blocks of ViT-S."""
        return Shape(f"ViT-S/16, {layers} blocks", 384, 6, layers=layers, image=self.image)

    def reduction(self) -> Scheduled:
        """The plugin, for all blocks but the last."""
        return self.plugin.model_validate({"r": (self.removed,) * MERGES})


CASES = (Case(224, ToMe, 13, 0.05), Case(1024, LocalMerge, 1024, 0.03))


def main() -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--allow-load", action="store_true", help="measure on a busy machine; the load is recorded")
    parser.add_argument("--seconds", type=float, default=120.0, help="per setting")
    parser.add_argument("--loads", type=int, default=4, help="how often files are loaded anew")
    parser.add_argument("--out", type=Path, default=RESULT)
    wanted = parser.parse_args()
    load = load_or_exit(wanted.allow_load)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(case, Path(folder), wanted.seconds, wanted.loads) for case in CASES]
    write(wanted, load, rows)
    return 0


def measure(case: Case, folder: Path, seconds: float, loads: int) -> dict[str, Any]:
    """One setting."""
    files = {name: export(program, folder, name) for name, program in programs(case).items()}
    pixels = np.random.default_rng(0).standard_normal((1, 3, case.image, case.image), dtype=np.float32)
    found = [timed(files, pixels, seconds / loads, seed) for seed in range(loads)]
    parts = [share_of(paired(each)) for each in found]
    shares = [part["share"] for part in parts]
    row = {
        "plugin": case.plugin.name,
        "tokens": (case.image // 16) ** 2 + 1,
        "channels": 384,
        "removed": case.removed,
        "goal": case.goal,
        **{key: statistics.median(part[key] for part in parts) for key in parts[0]},
        "share_spread": [min(shares), max(shares)],
        "loads": [each.model_dump() for each in found],
    }
    print(f"{case.plugin.name} at {row['tokens']} tokens: {row['merge_ms']:.3f} of {row['block_ms']:.3f} ms, "
          f"{100 * row['share']:.2f} % of a block", flush=True)  # fmt: skip
    return row


def programs(case: Case) -> dict[str, Program]:
    """Three blocks dense, merging and slicing, and one block."""
    whole = captured(case.shape(LAYERS))
    merging = reduced(whole, case.reduction(), TARGET)
    return {
        "dense": rewrite(whole),
        "merged": merging,
        "ceiling": free_drop(merging),
        "one": rewrite(captured(case.shape(1))),
    }


def paired(found: Latency) -> dict[str, float]:
    """Milliseconds by the median of ratios within rounds, which what is slow for a while does not move."""
    ceiling = found.times["ceiling"].p50_ms
    return {"ceiling": ceiling, **{name: ceiling / ratio.ratio for name, ratio in found.ratios.items()}}


def share_of(times: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds of a block and of a merge, and their quotient."""
    block = (times["dense"] - times["one"]) / (LAYERS - 1)
    merge = (times["merged"] - times["ceiling"]) / MERGES
    return {"block_ms": block, "merge_ms": merge, "share": merge / block}


def export(program: Program, folder: Path, stem: str) -> Path:
    """The file of a program."""
    return EXPORTER.export(program, TARGET, folder, stem=stem, options=OPTIONS).entry


def timed(files: Mapping[str, Path], pixels: np.ndarray, seconds: float, seed: int) -> Latency:
    """All files loaded in an order of their own and timed, interleaved."""
    order = random.Random(seed).sample(sorted(files), len(files))
    return bench(
        {name: partial(EXPORTER.load, files[name], threads=1) for name in order},
        {"pixel_values": pixels},
        threads=1,
        seconds=seconds,
        runtime=f"onnxruntime {versions()['onnxruntime']}",
        seed=seed,
        baseline="ceiling",
    )


def write(wanted: argparse.Namespace, load: float | None, rows: list[dict[str, Any]]) -> None:
    """The JSON that documentation is generated from."""
    found = {
        "how": f"{wanted.seconds:.0f} s per setting in {wanted.loads} loads, one thread, batch 1, interleaved.",
        "load_average": load,
        "allowed_load": wanted.allow_load,
        "rows": rows,
    }
    write_result(wanted.out, __doc__, found)


if __name__ == "__main__":
    raise SystemExit(main())
