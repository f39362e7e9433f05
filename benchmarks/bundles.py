"""What one model gains on every target that can be proven on this machine: a bundle each, and its report.

Runs ``optimize`` on the ViT-Tiny of ``EDGETOK_DATA`` for each target and writes the reports to
``benchmarks/results/reports``, with the data folder's path left out. Refuses to run on a busy machine, unless latency
is left out, as it may be where a simulator's says nothing of the device.

    python benchmarks/bundles.py --target onnx-cpu coreml --limit 200
    python benchmarks/bundles.py --target onnx-qnn executorch-ethos-u --limit 96 --no-bench
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from _setting import load_or_exit

from edgetok.errors import EdgetokError
from edgetok.progress import for_stderr
from edgetok.recipe_file import make_recipe
from edgetok.session import optimize

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "reports"
DATA = Path(os.environ.get("EDGETOK_DATA", HERE.parents[1] / "shared" / "data"))
PLUGINS = {"tome": "tome:r=8", "tome-int8": "tome:r=8,quantize:weights=int8"}


def main() -> int:
    """Make the bundles; the exit status is 1 where one fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", nargs="+", default=["onnx-cpu"])
    parser.add_argument("--plugins", choices=sorted(PLUGINS), nargs="+", default=sorted(PLUGINS))
    parser.add_argument("--limit", type=int, help="evaluate only the first samples")
    parser.add_argument("--allow-load", action="store_true", help="measure on a busy machine; reports say the load")
    parser.add_argument("--no-bench", action="store_true", help="leave latency out")
    wanted = parser.parse_args()
    if not wanted.no_bench:
        load_or_exit(wanted.allow_load)
    failed = 0
    for target in wanted.target:
        for name in wanted.plugins:
            failed += not make(target, name, wanted.limit, bench=not wanted.no_bench)
    return int(failed > 0)


def make(target: str, name: str, limit: int | None, *, bench: bool) -> bool:
    """One bundle's report, written; whether all went well."""
    parts: dict[str, Any] = {
        "model": str(DATA / "vit_tiny_in1k"),
        "plugins": PLUGINS[name],
        "target": target,
        "eval": {"data": str(DATA / "imagenet_val"), "limit": limit},
        "bench": {"enabled": bench},
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            recipe = make_recipe({**parts, "output": f"{folder}/out"}, source="benchmarks/bundles.py")
            result = optimize(recipe, progress=for_stderr())
        except EdgetokError as error:
            print(f"{target}, {name}: {error}", file=sys.stderr)
            return False
    assert result.report is not None
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = result.report.to_json().replace(str(DATA), "EDGETOK_DATA")
    (RESULTS / f"vit_tiny-{target}-{name}.json").write_text(text, encoding="utf-8")
    return True


if __name__ == "__main__":
    raise SystemExit(main())
