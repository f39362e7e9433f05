"""Are bits that mc-moe allocates better spent than the same bits spent otherwise? On the trained sample ``moe_tiny``.

For each mean width: perplexity and next-token accuracy on held-out text of the model as it is, of mc-moe, of whole
widths for all experts (and between them on a line), of the same widths at random (ten seeds) and by frequency alone;
with paired intervals and a verdict each. Then what online pruning costs at each width, with important tokens protected
and without, and which share of the calls of experts it saves on the held-out text. Writes
``benchmarks/results/moe_quality.json``.

    python samples/moe_tiny/data.py DATA
    python benchmarks/moe_quality.py --data DATA    # five minutes of one core
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _setting import write_result
from torch import Tensor

from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compare import compare, figures
from edgetok_plugins.mc_moe.compress import compress
from edgetok_plugins.mc_moe.perplexity import Perplexity, difference, perplexity
from edgetok_plugins.mc_moe.runtime import PackedExperts, load_packed

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
    pruning = prune(wanted.model, calibration, held_out, options, wanted.bits)
    found = compare(wanted.model, {"input_ids": calibration}, held_out, options, wanted.bits)
    result = {
        "how": f"Torch, float32; {held_out.numel()} held-out tokens in {len(held_out)} windows, calibrated on "
        f"{calibration.numel()} others. Intervals are 95 % between windows; differences are paired, in nats per token "
        "and points of accuracy.",
        "options": options.options(),
        **found,
        "pruning": {"budgets": pruning},
    }
    write_result(wanted.out, __doc__, result)
    for row in found["budgets"]:
        print(row["bits"], {way: row[way]["perplexity"] for way in ("mc-moe", "uniform", "random", "frequency")})


WAYS: dict[str, dict[str, Any]] = {
    "not_pruned": {},
    "pruned": {"odp": True},
    "pruned_unprotected": {"odp": True, "odp_protect": 0.0},
}


def prune(
    model: Path, calibration: Tensor, held_out: Tensor, options: McMoe, budgets: Sequence[float]
) -> list[dict[str, Any]]:
    """Perplexity with and without pruning at each width, in the runtime that leaves the calls out."""
    rows = []
    for bits in budgets:
        row: dict[str, Any] = {"bits": bits}
        before: Perplexity | None = None
        for way, changes in WAYS.items():
            chosen = options.model_copy(update={"bits": bits, **changes})
            with tempfile.TemporaryDirectory(prefix="edgetok-") as scratch:
                place = Path(scratch) / "out"
                manifest = compress(model, place, {"input_ids": calibration}, chosen)
                packed = load_packed(place)
            found = perplexity(packed, held_out)
            before = before or found
            experts = [each for each in packed.modules() if isinstance(each, PackedExperts)]
            cost = difference(found, before)
            row[way] = {
                **figures(found),
                "loses_more": [cost.mean, cost.low, cost.high],
                "saved": [each.saved / each.calls for each in experts],
                "calibrated": list(manifest["odp"].values()),
            }
        rows.append(row)
        print(bits, {way: (row[way]["perplexity"], row[way]["saved"]) for way in WAYS})
    return rows


def tokens(file: Path) -> Tensor:
    """Windows of tokens, int64 ``[S, T]``."""
    return torch.from_numpy(np.load(file, allow_pickle=False).astype(np.int64))


if __name__ == "__main__":
    main()
