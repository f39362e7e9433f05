"""Where the time of an export goes: every stage's own time, and a ratio from pairs."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest


@pytest.fixture
def stages(benchmark):
    return benchmark("_stages")


class Toolchain:
    """Something with functions to watch."""

    @staticmethod
    def inner(seconds):
        """Takes this long."""
        time.sleep(seconds)
        return seconds

    def outer(self, seconds):
        """Takes as long itself, and as long again inside."""
        time.sleep(seconds)
        return self.inner(seconds)


def test_a_stage_is_not_charged_for_the_stage_inside_it_and_functions_are_put_back(stages):
    before = dict(vars(Toolchain))
    found = stages.Stages()
    with found.watching({"inner": (Toolchain, "inner"), "outer": (Toolchain, "outer")}), found.timed("rest"):
        assert Toolchain().outer(0.05) == 0.05
        Toolchain.inner(0.05)
    assert list(found.seconds) == ["inner", "outer", "rest"]
    assert 0.1 <= found.seconds["inner"] < 0.2
    assert 0.05 <= found.seconds["outer"] < 0.1
    assert found.seconds["rest"] < 0.05
    assert vars(Toolchain)["inner"] is before["inner"]
    assert vars(Toolchain)["outer"] is before["outer"]


def test_the_ratio_of_exports_is_the_median_over_pairs_with_its_least_and_most(benchmark):
    pytest.importorskip("executorch")
    script = benchmark("executorch_merging")

    def pair(dense, merged):
        seconds = {"dense": dense, "merged": merged}
        return {name: (SimpleNamespace(seconds=taken), {"lower": taken / 2}) for name, taken in seconds.items()}

    found = script.export_times([pair(10.0, 18.0), pair(20.0, 38.0), pair(10.0, 25.0)])
    assert found["export_to_dense"] == 1.9
    assert found["export_to_dense_spread"] == [1.8, 2.5]
    assert found["export_seconds"] == {"dense": 10.0, "merged": 25.0}
    assert found["export_stages"]["merged"] == {"lower": 12.5}
