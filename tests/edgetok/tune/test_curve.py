"""The fit finds the curve that measurements came from, and predictions lie on it."""

from __future__ import annotations

import pytest

from edgetok.errors import BenchRefused
from edgetok.tune import curve as curves
from edgetok.tune.result import Curve

SAVED, MERGE = (0.0, 0.02, 0.05, 0.06), 0.004


def known(saved=SAVED, merge=MERGE):
    return Curve(
        shares=curves.SHARES, saved=saved, merge=merge, dense_ms=1.0, rows=(), threads=1, load_average=None, how=""
    )


def test_dense_costs_one_and_shares_between_are_interpolated():
    assert curves.predict(known(), [1.0] * 4, 0) == 1.0
    assert curves.predict(known(), [0.5], 0) == pytest.approx(0.95)
    assert curves.predict(known(), [0.625], 2) == pytest.approx(1 - 0.035 + 0.008)
    assert curves.predict(known(), [0.125], 0) == pytest.approx(1 - 0.065), "extended beyond the last share"


def test_the_fit_finds_the_curve(setting):
    chosen = curves.programs(setting)
    assert len({c.removed for c in chosen}) == len(chosen) >= 4
    times = [curves.predict(known(), c.loads, c.merges) for c in chosen]
    saved, merge = curves.fit([c.loads for c in chosen], [c.merges for c in chosen], times)
    assert saved == pytest.approx(SAVED, abs=1e-6)
    assert merge == pytest.approx(MERGE, abs=1e-6)


def test_reductions_never_pay_and_savings_never_fall(setting):
    chosen = curves.programs(setting)
    times = [curves.predict(known(merge=-0.01), c.loads, c.merges) for c in chosen]
    saved, merge = curves.fit([c.loads for c in chosen], [c.merges for c in chosen], times)
    assert merge == 0.0
    assert list(saved) == sorted(saved)


def test_what_is_simulated_is_not_timed(setting):
    class Simulated:
        simulated = True

    with pytest.raises(BenchRefused, match="cannot be timed here"):
        curves._require_real(Simulated(), setting)
