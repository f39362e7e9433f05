"""Does a schedule that ``edgetok tune`` finds beat constant r, on the ViT-Tiny of ``EDGETOK_DATA``?

Chosen on ``imagenet_calib``, judged on ``imagenet_val``. Writes ``benchmarks/results/tuned/NAME.json``, which holds
``tune.json`` with the data folder's path left out and the commit; ``docs/tune.md`` is generated from it. Refuses a busy
machine.

    python benchmarks/tuned.py --latency 0.65x 0.8x --trials 40 --samples 150
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from _setting import load_or_exit, write_result

from edgetok.progress import for_stderr
from edgetok.recipe_file import make_recipe
from edgetok.tune import StudySettings, read_goal, tune

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "tuned"
DATA = Path(os.environ.get("EDGETOK_DATA", HERE.parents[1] / "shared" / "data"))


def main() -> int:
    """Tune for every latency asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latency", nargs="+", default=["0.65x", "0.8x"])
    parser.add_argument("--plugin", default="tome")
    parser.add_argument("--target", default="onnx-cpu")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--samples", type=int, default=150)
    parser.add_argument("--limit", type=int, help="evaluate only the first samples")
    parser.add_argument("--allow-load", action="store_true", help="measure on a busy machine; the result says the load")
    wanted = parser.parse_args()
    load_or_exit(wanted.allow_load)
    for latency in wanted.latency:
        measure(latency, wanted)
    return 0


def measure(latency: str, wanted: argparse.Namespace) -> None:
    """One goal, written."""
    parts = {
        "model": str(DATA / "vit_tiny_in1k"),
        "plugins": wanted.plugin,
        "target": wanted.target,
        "calibration": {"data": str(DATA / "imagenet_calib")},
        "eval": {"data": str(DATA / "imagenet_val"), "limit": wanted.limit},
    }
    recipe = make_recipe(parts, source="benchmarks/tuned.py")
    goal = read_goal(None, latency, None)
    with tempfile.TemporaryDirectory() as folder:
        settings = StudySettings(trials=wanted.trials)
        found = tune(
            recipe, goal, Path(folder) / "out", settings=settings, samples=wanted.samples, progress=for_stderr()
        )
    text = found.to_json().replace(str(DATA), "EDGETOK_DATA")
    name = f"vit_tiny-{wanted.target}-{wanted.plugin}-{latency}.json"
    write_result(RESULTS / name, __doc__, {"tuned": json.loads(text)}, "optuna")
    print(f"{latency}: {found.verdict}")


if __name__ == "__main__":
    raise SystemExit(main())
