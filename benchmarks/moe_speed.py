"""How long does onnxruntime take with packed experts, beside the same model in fp32?

For the sample ``moe_tiny`` and a larger model of its family with random weights, at batch 1 and for sequences of 1 and
64 tokens: dense, and packed at 2.5 bits, interleaved in one process. Writes ``benchmarks/results/moe_speed.json``;
refuses a busy machine.

    python benchmarks/moe_speed.py --place /somewhere/with/2/GB
"""

from __future__ import annotations

import argparse
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _moe import SHAPES, Shape, programs
from _setting import load_or_exit, write_result

from edgetok.bench.latency import bench
from edgetok.registry import installed
from edgetok_exporters.onnx import OnnxExporter, Options

RESULT = Path(__file__).resolve().parent / "results" / "moe_speed.json"
TARGET = installed().target("onnx-cpu")
EXPORTER = OnnxExporter()


def main() -> None:
    """Measure and write the result."""
    wanted = arguments()
    load = load_or_exit(wanted.allow_load)
    torch.set_num_threads(1)
    rows = [measure(shape, length, wanted) for shape in SHAPES for length in wanted.length]
    found = {"load_average": load, "allowed_load": wanted.allow_load, "bits": wanted.bits, "rows": rows}
    write_result(wanted.out, __doc__, found)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--place", type=Path, required=True, help="a directory for models and files")
    parser.add_argument("--allow-load", action="store_true", help="measure on a busy machine; the load is recorded")
    parser.add_argument("--seconds", type=float, default=30.0, help="per setting")
    parser.add_argument("--bits", type=float, default=2.5)
    parser.add_argument("--length", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args()


def measure(shape: Shape, length: int, wanted: argparse.Namespace) -> dict[str, Any]:
    """One model at one length, on one thread."""
    found = programs(shape, wanted.bits, wanted.place, length=length)
    made = {}
    for name, program, options in variants(found):
        stem = f"{name}-{shape.layers}-{length}"
        made[name] = EXPORTER.export(program, TARGET, wanted.place, stem=stem, options=options).entry
    ids = np.random.default_rng(0).integers(0, 256, (1, length))
    times = bench(
        {name: partial(EXPORTER.load, entry, threads=1) for name, entry in made.items()},
        {"input_ids": ids},
        threads=1,
        seconds=wanted.seconds,
        runtime=f"onnxruntime {version('onnxruntime')}",
    )
    spoken = ", ".join(f"{name} {each.p50_ms:.2f} ms" for name, each in times.times.items())
    print(f"{shape.name}, {length} tokens: {spoken}", flush=True)
    bytes_ = {name: entry.stat().st_size for name, entry in made.items()}
    return {"model": shape.name, "tokens": length, "bytes": bytes_, "latency": times.model_dump()}


def variants(found: dict[str, Any]) -> list[tuple[str, Any, Options]]:
    """What is timed, the baseline first."""
    plain, rounded = (
        Options.model_validate({**TARGET.options, "packed_activations": kind}) for kind in ("float", "int8")
    )
    return [
        ("dense", found["dense"], plain),
        ("packed", found["packed"], plain),
        ("packed, int8", found["packed"], rounded),
    ]


if __name__ == "__main__":
    main()
