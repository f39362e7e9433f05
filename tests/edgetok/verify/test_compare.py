"""Figures of arrays, on cases small enough to know the answer."""

from __future__ import annotations

import numpy as np
import pytest

from edgetok.verify.compare import figures, worst
from edgetok.verify.tolerance import TOLERANCES, Bound


def test_known_figures() -> None:
    found = figures(np.array([10.0, 0.1]), np.array([10.0, 0.0]))
    assert found.max_abs == pytest.approx(0.1)
    assert found.rel == pytest.approx(0.01)
    assert found.snr_db == pytest.approx(40.0)


def test_equal_arrays_are_exact() -> None:
    found = figures(np.array([1.0, np.inf]), np.array([1.0, np.inf]))
    assert (found.max_abs, found.snr_db, found.mismatched) == (0, 400, 0)


def test_nan_agrees_with_nothing_not_even_nan() -> None:
    assert figures(np.array([1.0, np.nan]), np.array([1.0, np.nan])).mismatched == 1


def test_what_is_finite_on_one_side_only_is_mismatched() -> None:
    got, reference = np.array([np.nan, np.inf, 1.0, -np.inf]), np.array([1.0, -np.inf, np.nan, -np.inf])
    assert figures(got, reference).mismatched == 3


def test_integers_must_be_equal() -> None:
    assert figures(np.array([1, 2, 3]), np.array([1, 2, 4])).mismatched == 1
    assert figures(np.array([True, False]), np.array([True, False])).mismatched == 0


def test_another_shape_is_all_mismatched() -> None:
    assert figures(np.zeros((2, 3)), np.zeros((2, 2))).mismatched == 6


def test_an_error_on_silence_is_infinitely_loud() -> None:
    found = figures(np.array([1e-3]), np.array([0.0]))
    assert found.snr_db == -400
    assert not TOLERANCES["fp16"].bound(None).admits(found)


def test_small_outputs_get_no_absolute_discount() -> None:
    small = figures(np.array([1.1e-6, 1e-6]), np.array([1e-6, 1e-6]))
    assert not TOLERANCES["fp32"].bound(None).admits(small)


def test_one_wrong_entry_of_many_is_seen_by_its_peak() -> None:
    reference = np.ones(1_000_000, np.float32)
    got = reference.copy()
    got[5] = 1.03
    found = figures(got, reference)
    assert found.snr_db > 90
    assert not TOLERANCES["fp16"].bound(None).admits(found)


def test_worst_of_batches() -> None:
    parts = [figures(np.array([1.0 + e]), np.array([1.0])) for e in (0.0, 0.25, 0.125)]
    found = worst(parts)
    assert (found.max_abs, found.snr_db) == (0.25, parts[1].snr_db)


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_dense_only_ever_tightens(dtype: str) -> None:
    row = TOLERANCES[dtype]  # type: ignore[index]
    loose = row.bound(None)
    for error in (0.0, 1e-7, 1e-5, 1e-3, 1e-1, 10.0):
        bound = row.bound(figures(np.array([1.0 + error]), np.array([1.0])))
        assert bound.min_snr_db >= loose.min_snr_db
        assert bound.max_rel <= loose.max_rel
    assert row.bound(figures(np.ones(1), np.ones(1))) == Bound(min_snr_db=row.snr_floor_db, max_rel=row.rel_floor)
