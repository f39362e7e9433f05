"""Fewer tokens and fewer bits together, on the trained digits model in onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

import edgetok
from edgetok.errors import TargetRefuses
from edgetok.testing import digits

PLUGINS = {"tome": {"r": 28}, "quantize": {"weights": "int8", "samples": 20}}
QUICK = {"bench": {"enabled": False}, "parity": {"samples": 20}}


def samples(n):
    pictures, labels = digits.images()
    return [({"pixel_values": p.numpy()}, int(k)) for p, k in zip(pictures[:n], labels[:n], strict=True)]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    digits.folder()
    return edgetok.optimize(
        "sample:vit_digits",
        plugins={**PLUGINS, "quantize": {**PLUGINS["quantize"], "activations": "static"}},
        output=tmp_path_factory.mktemp("out") / "out",
        eval=samples(120),
        **QUICK,
    )


def test_the_file_is_small_and_keeps_its_accuracy(result):
    report = result.report
    assert report.target.precision == "int8-static"
    assert report.size_bytes.ratio > 2
    assert report.accuracy.drop < 3
    assert report.tokens.per_layer[-1] < report.tokens.dense_per_layer[-1]


def test_parity_is_bound_by_the_control(result):
    parity = result.report.parity
    (logits,) = parity.outputs
    assert parity.dtype == "int8"
    assert logits.dense.snr_db < 60, "the dense reference is the quantised control, not the fp32 file"
    assert logits.bound.min_snr_db >= logits.dense.snr_db - 4 - 1e-6 or logits.bound.min_snr_db == 35


def test_decisions_are_judged_by_the_files_own_scores(result):
    """Matching is in fp32 whatever the keys are in: its near-tie is that of fp32."""
    decisions = result.report.parity.decisions
    assert decisions.worst_gap <= decisions.near_tie == 2e-5
    assert decisions.same_share < 1, "quantised keys decide otherwise than fp32 ones"
    assert "of the file's own scores" in result.report.parity.how


def test_what_calibrates_is_not_evaluated(result):
    assert result.report.accuracy.n == 100
    assert any("first 20 samples" in note for note in result.report.notes)


def test_the_report_says_what_runs_where(result):
    lowering = result.report.lowering
    assert lowering.proof == "run"
    assert {row.maker for row in lowering.ops} == {"model", "tome"}
    assert "What runs where" in (result.bundle.path / "report.html").read_text(encoding="utf-8")


def test_it_verifies_and_answers(result):
    from edgetok.session import verify_bundle

    assert all(output.passed for output in verify_bundle(result.bundle.path).outputs)
    assert np.isfinite(result.report.parity.max_abs)


def test_a_target_without_the_scheme_refuses_before_the_model_is_read(tmp_path):
    with pytest.raises(TargetRefuses, match="no quantised model"):
        edgetok.optimize("no/such/model", plugins=PLUGINS, target="cpu", output=tmp_path / "out")
    assert not list(tmp_path.iterdir())
