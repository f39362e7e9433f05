"""Nothing is evaluated that was tuned on."""

from __future__ import annotations

import pytest

from edgetok.errors import BadCommand, DatasetNotFound
from edgetok.session.apart import fingerprints
from edgetok.tune.data import find_samples


def test_given_data_is_kept_apart_and_may_have_labels(prepared, recipe):
    tuning, labelled, evaluation, how = find_samples(prepared, recipe(), 8)
    assert (len(tuning), labelled, len(evaluation)) == (8, True, 16)
    assert how == "8 samples of tune_samples:tuning"


def test_samples_in_both_are_refused(prepared, recipe):
    shared = recipe(calibration={"data": "tune_samples:overlapping"})
    with pytest.raises(BadCommand, match="overlap") as caught:
        find_samples(prepared, shared, 8)
    assert "3 samples" in caught.value.why


def test_evaluation_data_alone_is_split(prepared, recipe):
    tuning, _, evaluation, how = find_samples(prepared, recipe(calibration={"data": None}), 6)
    assert (len(tuning), len(evaluation)) == (6, 10)
    assert not fingerprints(tuning) & fingerprints(evaluation)
    assert "not evaluated" in how
    half, _, rest, _ = find_samples(prepared, recipe(calibration={"data": None}), 100)
    assert (len(half), len(rest)) == (8, 8)


def test_too_little_data_is_refused(prepared, recipe):
    with pytest.raises(DatasetNotFound, match="too small"):
        find_samples(prepared, recipe(calibration={"data": None}, eval={"data": "tune_samples:few"}), 6)


def test_no_data_is_refused(prepared, recipe):
    with pytest.raises(BadCommand, match="no data"):
        find_samples(prepared, recipe(calibration={"data": None}, eval={"data": None}), 6)
