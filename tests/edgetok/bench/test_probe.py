import ctypes
from pathlib import Path

import numpy as np
import pytest

from edgetok.bench.probe import probe
from edgetok.errors import RuntimeFailed


class Crashing:
    """An exporter whose runtime reads where it must not, as native code does on a damaged file."""

    def load(self, entry, *, threads=None):
        if entry.name == "damaged":
            ctypes.string_at(0)
        return lambda inputs: inputs


def test_a_crash_is_an_error_and_this_process_lives(tmp_path):
    with pytest.raises(RuntimeFailed, match="crashed \\(SIGSEGV\\)"):
        probe(Crashing(), tmp_path / "damaged", {"x": np.zeros(1)})


def test_what_runs_passes(tmp_path):
    probe(Crashing(), Path("sound"), {"x": np.zeros(1)})
