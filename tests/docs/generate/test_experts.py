"""Figures on mixtures of experts are those of the JSON."""

from __future__ import annotations

import json

from docs.generate import experts

MEMORY = {
    "layers": 2,
    "bytes": {"model": 3_000_000_000, "largest_layer": 1_500_000_000, "packed": 400_000_000, "rest": 100_000_000},
    "options": {"bits": 2.5, "method": "rtn"},
    "tokens": 64,
    "peak_bytes": 2_250_000_000,
    "seconds": {"calibrate": 60.0, "quantise": 120.0},
    "threads": 1,
    "machine": "an abacus",
}


def scores(perplexity, **more):
    return {"perplexity": perplexity, "interval": [perplexity - 1, perplexity + 1], **more}


QUALITY = {
    "how": "By hand.",
    "full": scores(2.0),
    "budgets": [
        {
            "bits": 2.0,
            "mc-moe": scores(3.0),
            "uniform": scores(2.5, verdict="better"),
            "random": scores(4.0, verdict="beaten"),
            "frequency": scores(3.0, verdict="undecided"),
        }
    ],
    "pruning": {"budgets": [{"bits": 2.0, "pruned": scores(3.25, saved=[0.2, 0.3], loses_more=[0.1, 0.05, 0.2])}]},
}


def test_memory_is_said_with_its_setting(tmp_path):
    (tmp_path / "moe_memory.json").write_text(json.dumps(MEMORY))
    said = experts.memory(tmp_path)
    for part in ("2 layers", "3.00 GB", "to 0.50 GB at 2.5 bits", "64 calibration tokens", "**2.25 GB**", "3 minutes"):
        assert part in said


def test_who_wins_is_said(tmp_path):
    (tmp_path / "moe_quality.json").write_text(json.dumps(QUALITY))
    said = experts.quality(tmp_path)
    row = next(line for line in said.splitlines() if line.startswith("| 2.0"))
    assert "2.500 (1.500 to 3.500): mc-moe is worse" in row
    assert "4.000 (3.000 to 5.000): mc-moe is better" in row
    assert "3.250 (2.250 to 4.250): loses, 25% of calls left out" in row
    assert "Uncompressed: 2.000 (1.000 to 3.000). By hand." in said


def test_nothing_is_claimed_without_a_result(tmp_path):
    assert experts.memory(tmp_path) == experts.quality(tmp_path) == "Not measured yet.\n"
