"""The support table says what the JSON says, and the JSON covers the list of architectures as it is."""

from __future__ import annotations

import json

import pytest

from docs.generate import support
from edgetok.testing.architectures import ARCHITECTURES

ROW = {"name": "A", "kind": "text", "model": "AModel", "works": True, "reason": "", "sites": 2, "rewritten": 2}
WORKS = {**ROW, "tokens": [24, 22, 20], "identity": 0.0, "change": 0.5, "onnx": 3e-7}
REFUSED = {**ROW, "name": "B", "works": False, "reason": "its mask is causal"}


def write(folder, rows):
    (folder / "coverage.json").write_text(json.dumps({"rows": rows, "versions": {"torch": "1"}, "commit": "c" * 40}))


def test_what_works_and_what_does_not(tmp_path):
    write(tmp_path, [WORKS, REFUSED])
    page = support.support(tmp_path)
    assert "1 of 2 architectures are rewritten; 1 are refused." in page
    assert "| A | `AModel` | 2 of 2 | 24 → 20 | bit for bit | 3e-07 |" in page
    assert "| B | `AModel` | its mask is causal |" in page


def test_nothing_is_claimed_without_a_result(tmp_path):
    assert support.support(tmp_path) == "Not measured yet.\n"


@pytest.fixture(scope="module")
def stored(repository):
    rows = json.loads((repository / "benchmarks" / "results" / "coverage.json").read_text())["rows"]
    return {row["name"]: row for row in rows}


def test_every_architecture_was_tried_and_did_as_stated(stored):
    assert set(stored) == {a.name for a in ARCHITECTURES}
    for architecture in ARCHITECTURES:
        row = stored[architecture.name]
        assert row["works"] == (not architecture.refused), f"{architecture.name}: {row['reason']}"
        assert architecture.refused in row["reason"]
        if row["works"]:
            assert isinstance(row["onnx"], float), f"{architecture.name}: {row['onnx']}"
            assert row["onnx"] <= 1e-3
            assert row["identity"] <= 1e-5


def test_at_least_25_work(stored):
    assert len({row["model"] for row in stored.values() if row["works"]}) >= 25
