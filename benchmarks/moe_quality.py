"""Are bits that mc-moe allocates better spent than the same bits spent otherwise? On the trained sample ``moe_tiny``.

For each mean width: perplexity on held-out text of the model as it is, of mc-moe, of whole widths for all experts (and
between them on a line), of the same widths at random (ten seeds) and by frequency alone; with paired intervals and a
verdict each. Writes ``benchmarks/results/moe_quality.json``.

    python samples/moe_tiny/data.py DATA
    python benchmarks/moe_quality.py --data DATA
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from _setting import commit, machine, versions
from torch import Tensor

from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compare import compare

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "moe_quality.json"


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="what samples/moe_tiny/data.py wrote")
    parser.add_argument("--model", type=Path, default=HERE.parent / "samples" / "moe_tiny")
    parser.add_argument("--bits", type=float, nargs="+", default=[1.6, 2.0, 2.5])
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--out", type=Path, default=RESULT)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    held_out, calibration = (tokens(wanted.data / f"{name}.npy") for name in ("held_out", "calibration"))
    options = McMoe(bits=wanted.bits[0], group_size=wanted.group)
    found = compare(wanted.model, {"input_ids": calibration}, held_out, options, wanted.bits)
    result = {
        "how": f"Torch, float32; {held_out.numel()} held-out tokens in {len(held_out)} windows, calibrated on "
        f"{calibration.numel()} others. Intervals are 95 % between windows, differences paired, in nats per token.",
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "options": options.options(),
        **found,
    }
    wanted.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for row in found["budgets"]:
        print(row["bits"], {way: row[way]["perplexity"] for way in ("mc-moe", "uniform", "random", "frequency")})


def tokens(file: Path) -> Tensor:
    """Windows of tokens, int64 ``[S, T]``."""
    return torch.from_numpy(np.load(file, allow_pickle=False).astype(np.int64))


if __name__ == "__main__":
    main()
