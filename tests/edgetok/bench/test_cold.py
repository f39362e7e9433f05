"""Loading in fresh processes."""

import sys
from pathlib import Path

import numpy as np
import pytest

from edgetok.bench import measure_cold
from edgetok.errors import RuntimeFailed

EXPORTER = """
import time
import numpy as np

class Runner:
    input_names = ("x",)
    output_names = ("y",)

    def __init__(self, path):
        self.ballast = np.ones(int(path.read_text()), np.uint8)

    def __call__(self, inputs):
        time.sleep(0.05)
        return {"y": inputs["x"] + self.ballast[0]}

class Exporter:
    def load(self, entry, *, threads=None):
        import sqlite3
        assert threads == 2
        if not entry.exists():
            raise FileNotFoundError(entry)
        time.sleep(0.1)
        return Runner(entry)
"""
INPUTS = {"x": np.zeros((2, 3), np.float32)}


@pytest.fixture
def exporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    (tmp_path / "cold_exporter.py").write_text(EXPORTER)
    monkeypatch.syspath_prepend(str(tmp_path))
    import cold_exporter

    yield cold_exporter.Exporter()
    del sys.modules["cold_exporter"]


def test_figures_are_of_the_fresh_process(exporter: object, tmp_path: Path) -> None:
    ballast = np.ones(300_000_000, np.uint8)  # this process is large; a child must not inherit its peak
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_text("1000")
    large.write_text("100000000")
    light = measure_cold(exporter, small, INPUTS, threads=2, processes=2)
    heavy = measure_cold(exporter, large, INPUTS, threads=2, processes=1)
    assert light.peak_bytes < 200_000_000 < len(ballast)
    assert 90_000_000 < heavy.model_bytes - light.model_bytes < 130_000_000
    assert 90 < light.load_ms < 2000
    assert 45 < light.first_run_ms < 2000
    assert light.import_bytes > 10_000_000
    assert (light.threads, light.processes) == (2, 2)


def test_failure_names_its_cause(exporter: object, tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailed, match="FileNotFoundError"):
        measure_cold(exporter, tmp_path / "absent", INPUTS, threads=2, processes=1)
