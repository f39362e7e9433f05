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
    "commit": "0123456789",
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
    (tmp_path / "moe_memory-rtn-16.json").write_text(json.dumps(MEMORY))
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


def scored(row, accuracy, **more):
    return row | {"accuracy": accuracy, "accuracy_interval": [accuracy - 1, accuracy + 1], **more}


def test_accuracies_are_beside_that_of_mc_moe(tmp_path):
    (budget,), (pruned,) = QUALITY["budgets"], QUALITY["pruning"]["budgets"]
    made = {name: scored(budget[name], 40.0, fewer_right=[2.0, -0.5, 4.5]) for name in experts.RIVALS}
    result = QUALITY | {
        "full": scored(QUALITY["full"], 50.0),
        "budgets": [budget | made | {"mc-moe": scored(budget["mc-moe"], 42.0)}],
        "pruning": {"budgets": [pruned | {"pruned": scored(pruned["pruned"], 41.5)}]},
    }
    (tmp_path / "moe_quality.json").write_text(json.dumps(result))
    said = experts.quality(tmp_path)
    assert "uncompressed model 50.0 % (49.0 to 51.0)" in said
    rival = "40.0 % (39.0 to 41.0): -2.00 (-4.50 to +0.50)"
    assert f"| 2.0 | 42.0 % (41.0 to 43.0) | {rival} | {rival} | {rival} | 41.5 % (40.5 to 42.5) |" in said


def test_accuracies_are_left_out_where_there_are_none(tmp_path):
    (tmp_path / "moe_quality.json").write_text(json.dumps(QUALITY))
    assert "right" not in experts.quality(tmp_path)


SIZES = {
    "commit": "0123456789",
    "rows": [
        {"model": "m", "target": "a", "bits": 2.5, "arithmetic": 102400, "weights": 101376, "file": 153600},
        {"model": "m", "target": "b", "bits": 2.5, "arithmetic": 102400, "weights": None, "file": 104448},
    ],
}
TIMES = {
    "dense": {"p50_ms": 3.0},
    "packed": {"p50_ms": 4.0},
    "packed, int8": {"p50_ms": 2.0},
}
RATIOS = {"packed": {"ratio": 0.75, "spread": [0.7, 0.8]}, "packed, int8": {"ratio": 1.5, "spread": [1.25, 1.75]}}
LATENCY = {"times": TIMES, "ratios": RATIOS, "runtime": "a runtime 1.0", "threads": 1}
SPEED = {
    "machine": "an abacus",
    "commit": "0123456789",
    "load_average": 3.0,
    "allowed_load": True,
    "rows": [{"model": "m", "tokens": 64, "latency": LATENCY}],
}


def test_sizes_are_beside_the_arithmetic(tmp_path):
    (tmp_path / "moe_size.json").write_text(json.dumps(SIZES))
    said = experts.sizes(tmp_path)
    assert "| m | a | 2.5 | 100 KiB | 99 KiB, -1.0 % | 150 KiB, +50.0 % |" in said
    assert "| m | b | 2.5 | 100 KiB | - | 102 KiB, +2.0 % |" in said
    assert "0123456." in said


def test_times_have_their_spread_and_their_load(tmp_path):
    (tmp_path / "moe_speed.json").write_text(json.dumps(SPEED))
    said = experts.speed(tmp_path)
    assert "| m | 64 | 3.00 ms | 4.00 ms: 0.75x (0.70 to 0.80) | 2.00 ms: 1.50x (1.25 to 1.75) |" in said
    assert "On an abacus; a runtime 1.0, batch 1, 1 thread(s)" in said
    assert "The machine was busy (load 3.0)." in said


def test_nothing_is_claimed_without_a_result(tmp_path):
    assert {make() for make in experts.blocks(tmp_path).values()} == {"Not measured yet.\n"}
