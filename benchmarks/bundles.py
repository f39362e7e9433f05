"""What one model gains on every target that can be proven on this machine: a bundle each, and its report.

Runs ``optimize`` on the ViT-Tiny of ``EDGETOK_DATA``, or on the sample ``moe_tiny``, for each target and writes each
report to ``benchmarks/results/reports``, with the commit that it was made at and with the data folder's path left out.
Refuses to run on a busy machine, unless latency is left out, as it may be where a simulator's says nothing of the
device.

    python benchmarks/bundles.py --target onnx-cpu coreml --limit 200
    python benchmarks/bundles.py --target onnx-qnn executorch-ethos-u --limit 96 --no-bench
    python benchmarks/bundles.py --model moe_tiny --target onnx-cpu coreml executorch-xnnpack --no-bench
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _setting import load_or_exit, write_result

from edgetok.errors import EdgetokError
from edgetok.progress import for_stderr
from edgetok.recipe_file import make_recipe
from edgetok.session import optimize

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "reports"
DATA = Path(os.environ.get("EDGETOK_DATA", HERE.parents[1] / "shared" / "data"))
MOE = HERE.parent / "samples" / "moe_tiny"
PLUGINS = {
    "vit_tiny": {"tome": "tome:r=8", "tome-int8": "tome:r=8,quantize:weights=int8"},
    "moe_tiny": {"mc-moe": "mc-moe:bits=2.5,group_size=64"},
}
"""What is tried on each model, by the name of its report."""


def main() -> int:
    """Make the bundles; the exit status is 1 where one fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", nargs="+", default=["onnx-cpu"])
    parser.add_argument("--model", choices=sorted(PLUGINS), default="vit_tiny")
    parser.add_argument("--plugins", nargs="+", help="names of reports; all of the model's if left out")
    parser.add_argument("--limit", type=int, help="evaluate only the first samples")
    parser.add_argument("--allow-load", action="store_true", help="measure on a busy machine; reports say the load")
    parser.add_argument("--no-bench", action="store_true", help="leave latency out")
    wanted = parser.parse_args()
    if unknown := set(wanted.plugins or ()) - set(PLUGINS[wanted.model]):
        parser.error(f"no report of {wanted.model}: {', '.join(sorted(unknown))}")
    if not wanted.no_bench:
        load_or_exit(wanted.allow_load)
    failed = 0
    for target in wanted.target:
        for name in wanted.plugins or sorted(PLUGINS[wanted.model]):
            failed += not make(wanted.model, target, name, wanted.limit, bench=not wanted.no_bench)
    return int(failed > 0)


def subject(model: str, limit: int | None, folder: Path) -> dict[str, Any]:
    """The parts of a recipe that a model brings: itself and its data."""
    if model == "vit_tiny":
        return {"model": str(DATA / "vit_tiny_in1k"), "eval": {"data": str(DATA / "imagenet_val"), "limit": limit}}
    subprocess.run([sys.executable, str(MOE / "data.py"), str(folder)], check=True)
    return {
        "model": "sample:moe_tiny",
        "calibration": {"data": str(folder / "calibration.npy")},
        "eval": {"data": str(folder / "held_out.npy"), "batch": 32, "limit": limit},
    }


def make(model: str, target: str, name: str, limit: int | None, *, bench: bool) -> bool:
    """One bundle's report, written; whether all went well."""
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            **subject(model, limit, Path(folder) / "data"),
            "plugins": PLUGINS[model][name],
            "target": target,
            "bench": {"enabled": bench},
        }
        try:
            recipe = make_recipe({**parts, "output": f"{folder}/out"}, source="benchmarks/bundles.py")
            result = optimize(recipe, progress=for_stderr())
        except EdgetokError as error:
            print(f"{target}, {name}: {error}", file=sys.stderr)
            return False
    assert result.report is not None
    text = result.report.to_json().replace(str(DATA), "EDGETOK_DATA").replace(folder, "DATA")
    write_result(RESULTS / f"{model}-{target}-{name}.json", __doc__, {"report": json.loads(text)})
    return True


if __name__ == "__main__":
    raise SystemExit(main())
