"""Figures say what the JSON says, and say so where there is none."""

from __future__ import annotations

import json

import pytest

from docs.generate import figures
from edgetok.report.schema import Report

HOW = {"how": "for this test"}
REPORT = {
    "schema": "edgetok.report/1",
    "created": "2030-01-02T03:04:05Z",
    "plan_digest": "0" * 64,
    "model": {"name": "tiny"},
    "target": {"name": "onnx-cpu", "runtime": "onnxruntime"},
    "plugins": [{"name": "tome", "options": {"r": 8}}],
    "tokens": {**HOW, "per_layer": [197, 189, 181], "dense_per_layer": [197, 197, 197]},
    "flops": {**HOW, "dense": 3000, "optimized": 2000, "ratio": 1.5, "paper_style_ratio": 1.6},
    "size_bytes": {**HOW, "dense": 7000, "optimized": 2000, "ratio": 3.5},
    "parity": {**HOW, "passed": True, "max_abs": 7.2e-6},
    "accuracy": {**HOW, "n": 650, "dense": 82.46, "optimized": 82.31, "drop": 0.15, "ci95": [-0.62, 0.92]},
    "latency": {
        **HOW,
        "dense_ms": 12.0,
        "optimized_ms": 8.0,
        "ratio": 1.5,
        "spread": [1.4, 1.6],
        "threads": 1,
        "batch": 1,
        "more": [{"dense_ms": 100.0, "optimized_ms": 50.0, "ratio": 2.0, "threads": 1, "batch": 32}],
    },
    "memory": HOW,
    "load_ms": HOW,
    "timings": HOW,
    "versions": {"torch": "2.13.0", "edgetok": "0.1.0"},
    "machine": {"system": "Linux", "processor": "x86-64", "cores": 2},
    "delivered": {"entry": "model.onnx"},
}


@pytest.fixture
def report():
    return Report.from_json(json.dumps(REPORT))


def test_nothing_measured_is_said(tmp_path):
    assert figures.bundles(tmp_path) == figures.MISSING
    assert figures.ceiling(tmp_path) == figures.MISSING


def test_a_row_is_the_report(report):
    assert figures.report_row(report) == (
        "tiny",
        "onnx-cpu",
        "tome (r=8)",
        "197 / 181",
        "1.50x",
        "3.50x",
        "**1.50x** (1.40 to 1.60), 12.00 → 8.00 ms, batch 1, 1 thread(s); "
        "**2.00x**, 100.00 → 50.00 ms, batch 32, 1 thread(s)",
        "82.46 → 82.31 %: drop +0.15 points (95 %: -0.62 to +0.92), n = 650",
        "passed, max abs 7.2e-06, run",
    )


def test_options_at_their_defaults_are_left_out_but_for_the_first(report):
    options = {"r": 8, "order": "reference", "prop_attn": False}
    plugin = report.plugins[0].model_copy(update={"options": options})
    assert figures.plugins(report.model_copy(update={"plugins": (plugin,)})) == "tome (r=8, prop_attn=False)"


def test_what_was_not_measured_is_not_made_up(report):
    bare = report.model_copy(
        update={
            "plugins": (),
            "accuracy": report.accuracy.model_copy(update={"drop": None}),
            "latency": report.latency.model_copy(update={"ratio": None, "more": ()}),
            "parity": report.parity.model_copy(update={"passed": False, "max_abs": None}),
        }
    )
    row = figures.report_row(bare)
    assert row[2] == "none"
    assert row[6:] == ("not measured", "not evaluated", "**failed**, run")


def test_the_table_has_a_row_per_report_and_says_where(tmp_path):
    (tmp_path / "reports").mkdir()
    for name in ("one", "two", "other"):
        text = json.dumps({"commit": "0123456789ab-dirty", "report": {**REPORT, "model": {"name": name}}})
        model = "moe_tiny" if name == "other" else "vit_tiny"
        (tmp_path / "reports" / f"{model}-{name}.json").write_text(text, encoding="utf-8")
    text = figures.bundles(tmp_path)
    assert "other" not in text
    assert figures.bundles(tmp_path, "moe_tiny").count("| tome (r=8) |") == 1
    assert text.count("| tome (r=8) |") == 2
    assert "- one: onnxruntime on x86-64, 2 cores; edgetok 0.1.0, torch 2.13.0; 2030-01-02, commit 0123456" in text
    assert "0123456 with changes" in text


ROW = {"model": "ViT-S", "r": 13, "batch": 8, "threads": 1, "speedup": 1.5, "ceiling": 1.6}
ROW |= {"share": 0.938, "share_spread": [0.93, 0.945]}


def merging(folder, row):
    measured = {"machine": "x86-64, 2 cores", "versions": {"onnxruntime": "1.31.1"}, "rows": [row]}
    (folder / "token_merging.json").write_text(json.dumps(measured), encoding="utf-8")
    return figures.ceiling(folder)


def test_the_share_of_the_ceiling_is_computed_from_both(tmp_path):
    text = merging(tmp_path, ROW)
    assert "| ViT-S | 13 | 8 | 1 | 1.50x | 1.60x | 0.938 (0.930 to 0.945) |" in text
    assert "On x86-64, 2 cores; onnxruntime 1.31.1." in text


@pytest.mark.parametrize(("share", "words"), [(0.969, "**not met**"), (0.97, "0.97: met.")])
def test_the_aim_is_held_against_the_figure(tmp_path, share, words):
    said = merging(tmp_path, {**ROW, "model": "ViT-S/16", "share": share})
    assert words in said
    assert "aim" not in merging(tmp_path, {**ROW, "model": "ViT-S/16", "threads": 2})


def test_a_missing_figure_is_an_error_and_not_a_blank(tmp_path):
    with pytest.raises(KeyError, match="a row has no ceiling"):
        merging(tmp_path, {key: value for key, value in ROW.items() if key != "ceiling"})


def test_ratio_of_nothing_is_a_dash():
    assert figures.ratio(None) == "-"
    assert figures.ratio(1.716) == "1.72x"


def test_the_row_of_xnnpack_says_what_was_delegated_and_how_long_the_export_took(tmp_path):
    row = {"model": "ViT-S", "r": 13, "threads": 1, "speedup": 1.5, "ceiling": 1.6, "share": 0.94}
    row |= {"share_spread": [0.93, 0.95], "export_seconds": {"merged": 70.0, "dense": 40.0}}
    row |= {"export_to_dense": 1.75, "export_to_dense_spread": [1.7, 1.82]}
    row["delegation"] = {"merged": {"inside": 98, "outside": {"log": 2}}}
    measured = {"machine": "x86-64", "versions": {"executorch": "1.4"}, "commit": "0123456789", "rows": [row]}
    assert figures.xnnpack(tmp_path) == figures.MISSING
    (tmp_path / "executorch_merging.json").write_text(json.dumps(measured), encoding="utf-8")
    text = figures.xnnpack(tmp_path)
    assert "| ViT-S | 13 | 1 | 1.50x | 1.60x | 0.940 (0.930 to 0.950) | 98 of 100 | 70 s |" in text
    assert "| 1.75x (1.70 to 1.82) |" in text
    assert "On x86-64; executorch 1.4; commit 0123456." in text
