"""How large are files with packed experts, against the arithmetic of their bits?

The sample ``moe_tiny``, and a mixture of experts of its family that is larger, with random weights: exported for each
target as ``edgetok optimize`` does it, run once, and weighed. ``arithmetic`` is all codes, scales (two bytes) and zero
points (one byte) of packed weights, and what is not packed in the file's floats. Writes
``benchmarks/results/moe_size.json``.

    python benchmarks/moe_size.py --place /somewhere/with/2/GB
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _moe import SHAPES, Shape, programs
from _setting import write_result

from edgetok.exporter import Exported
from edgetok.graph import Program
from edgetok.registry import installed
from edgetok.session.weight_bytes import arithmetic

RESULT = Path(__file__).resolve().parent / "results" / "moe_size.json"
TARGETS = ("onnx-cpu", "executorch-xnnpack", "coreml")
ALSO = ("executorch", "coremltools")


def main() -> None:
    """Export, weigh and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--place", type=Path, required=True, help="a directory for models and files")
    parser.add_argument("--bits", type=float, default=2.5)
    parser.add_argument("--target", nargs="+", default=list(TARGETS))
    parser.add_argument("--model", action="append", choices=[shape.name for shape in SHAPES])
    parser.add_argument("--out", type=Path, default=RESULT)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for shape in [shape for shape in SHAPES if not wanted.model or shape.name in wanted.model]:
        packed = programs(shape, wanted.bits, wanted.place)["packed"]
        for target in wanted.target:
            rows.append(row(shape, packed, target, wanted.place) | {"bits": wanted.bits})
            print(rows[-1], flush=True)
    write_result(wanted.out, __doc__, {"rows": rows}, *ALSO)


def row(shape: Shape, packed: Program, name: str, place: Path) -> dict[str, Any]:
    """One file."""
    target = installed().target(name)
    exporter = installed().exporter(target.exporter)
    folder = place / f"{name}-{shape.layers}"
    folder.mkdir(exist_ok=True)
    options = exporter.Options.model_validate(target.options)
    begin = time.perf_counter()
    exported = exporter.export(packed, target, folder, options=options)
    seconds = time.perf_counter() - begin
    batch = 1 if getattr(options, "batch", "dynamic") != "dynamic" else None
    run(exporter.load(exported.entry, threads=1), packed, batch)
    expected = arithmetic(packed, getattr(options, "dtype", "fp32"))
    return {
        "model": shape.name,
        "target": name,
        "arithmetic": expected,
        "weights": exported.weights,
        "file": size(exported),
        "seconds": seconds,
    }


def run(runner: Any, packed: Program, batch: int | None) -> None:
    """Once, on the example; what comes out is finite."""
    inputs: Mapping[str, np.ndarray] = {name: value[:batch].numpy() for name, value in packed.example.items()}
    assert all(np.isfinite(value).all() for value in runner(inputs).values())


def size(exported: Exported) -> int:
    """Bytes of all files of the model."""
    return sum(path.stat().st_size for path in exported.files)


if __name__ == "__main__":
    main()
