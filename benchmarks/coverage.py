"""On which architectures does token reduction work? Each is built small from its config, and rewritten or refused.

What is rewritten is also exported to ONNX, run, and compared with the rewritten program in torch. Writes
``benchmarks/results/coverage.json``, which ``docs/support.md`` is generated from; the exit status is 1 where an
architecture does not do what ``edgetok.testing.architectures`` says. Minutes.

    python benchmarks/coverage.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from _setting import write_result

from edgetok.testing.architectures import ARCHITECTURES, Architecture
from edgetok.testing.coverage import CLOSE, TARGET, TOLERANCE, Support, examine, exported
from edgetok_plugins.tome import ToMe

RESULT = Path(__file__).resolve().parent / "results" / "coverage.json"
PLUGIN = ToMe(r=2)


def main() -> int:
    """Examine all, write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", help="parts of names; nothing is written")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    rows = [row(a) for a in ARCHITECTURES if not only or any(part in a.name for part in only)]
    wrong = [found.name for found in rows if not as_stated(found)]
    if not only:
        write(rows)
    print(f"{sum(found.works for found in rows)} of {len(rows)} work", *wrong, sep="\n  not as stated: ")
    return int(bool(wrong))


def row(architecture: Architecture) -> Support:
    """One architecture, and its file where it has one."""
    found, trial = examine(architecture, PLUGIN)
    if found.works:
        found = found.model_copy(update={"onnx": exported(trial)})
    print(f"{found.name}: {'works' if found.works else found.reason}; {found.onnx}", file=sys.stderr, flush=True)
    return found


def as_stated(found: Support) -> bool:
    """Whether an architecture does what its row of the list says."""
    stated = next(a for a in ARCHITECTURES if a.name == found.name)
    if stated.refused:
        return not found.works and stated.refused in found.reason
    small = found.identity is not None and found.identity <= CLOSE
    return small and found.shapes and bool(found.change) and isinstance(found.onnx, float) and found.onnx <= TOLERANCE


def write(rows: list[Support]) -> None:
    """The JSON that documentation is generated from."""
    found = {
        "plugin": {"name": PLUGIN.name, "options": PLUGIN.options()},
        "target": TARGET,
        "rows": [each.model_dump(mode="json", exclude={"seconds"}) for each in rows],
    }
    write_result(RESULT, __doc__, found)


if __name__ == "__main__":
    raise SystemExit(main())
