"""Figures say what the JSON says, and say so where there is none."""

from __future__ import annotations

from docs.generate import figures


def test_nothing_measured_is_said(tmp_path):
    assert figures.bundles(tmp_path) == figures.MISSING
    assert figures.ceiling(tmp_path) == figures.MISSING


def test_ratio_of_nothing_is_a_dash():
    assert figures.ratio(None) == "-"
    assert figures.ratio(1.716) == "1.72x"
