"""The fit finds the curve that measurements came from, and predictions lie on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgetok.errors import BenchRefused
from edgetok.registry import installed
from edgetok.tune import curve as curves
from edgetok.tune.result import Curve
from edgetok_plugins.tome import ToMe

SAVED, MERGE, MOVED = (0.0, 0.02, 0.05, 0.06), 0.004, 0.003


def known(saved=SAVED, merge=MERGE, moved=MOVED):
    return Curve(
        shares=curves.SHARES, saved=saved, merge=merge, moved=moved, dense_ms=1.0, rows=(), threads=1,
        load_average=None, how="",
    )  # fmt: skip


def fitted(setting, curve):
    """What is fitted to times that lie on a curve."""
    chosen = curves.programs(setting)
    work = [(c.loads, c.merges, setting.moved(c)) for c in chosen]
    return curves.fit(
        *(list(each) for each in zip(*work, strict=True)), [curves.predict(curve, *each) for each in work]
    )


def test_dense_costs_one_and_shares_between_are_interpolated():
    assert curves.predict(known(), [1.0] * 4, 0) == 1.0
    assert curves.predict(known(), [0.5], 0) == pytest.approx(0.95)
    assert curves.predict(known(), [0.625], 2) == pytest.approx(1 - 0.035 + 0.008)
    assert curves.predict(known(), [0.625], 2, 1) == pytest.approx(1 - 0.035 + 0.011)
    assert curves.predict(known(), [0.125], 0) == pytest.approx(1 - 0.065), "extended beyond the last share"


def test_the_fit_finds_the_curve(setting):
    chosen = curves.programs(setting)
    plain = [c for c in chosen if not setting.moved(c)]
    assert len({c.removed for c in plain}) == len(plain) >= 4
    saved, merge, moved = fitted(setting, known())
    assert saved == pytest.approx(SAVED, abs=1e-6)
    assert merge == pytest.approx(MERGE, abs=1e-6)
    assert moved == pytest.approx(MOVED, abs=1e-6)


def test_what_a_searched_option_costs_is_measured_and_predicted(setting):
    """A guess that made every reduction dearer, at no cost in predictions, would win every search."""
    assert setting.guessed == {"protect": ToMe.model_fields["protect"].json_schema_extra["search"]["guess"]}
    moved = [c for c in curves.programs(setting) if setting.moved(c)]
    assert [c.plugin.protect for c in moved] == [setting.guessed["protect"]] * len(moved)
    assert len(moved) >= 1
    timed = replace(setting, curve=known())
    given, guess = timed.candidate([2, 0, 2]), timed.candidate([2, 0, 2], {"protect": 0.01})
    assert timed.latency(guess) == pytest.approx(timed.latency(given) + 2 * MOVED)


def test_reductions_never_pay_and_savings_never_fall(setting):
    saved, merge, moved = fitted(setting, known(merge=-0.01, moved=-0.002))
    assert (merge, moved) == (0.0, 0.0)
    assert list(saved) == sorted(saved)


class Simulating:
    def simulates(self):
        return True


def test_what_is_simulated_is_not_timed(setting):
    target = installed().target("coreml")
    tools = replace(setting.prepared.tools, target=target, exporter=Simulating())
    elsewhere = replace(setting, prepared=replace(setting.prepared, tools=tools))
    assert not curves.is_measurable(elsewhere)
    with pytest.raises(BenchRefused, match="cannot be timed here"):
        curves._require_real(elsewhere)
