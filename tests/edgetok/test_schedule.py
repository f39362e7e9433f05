"""Schedules against values worked out by hand from the definition."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetok.schedule import is_inflected, per_layer


def test_one_number_is_for_every_layer():
    assert per_layer(8, 4) == (8, 8, 8, 8)


def test_a_list_is_filled_up_with_zeros_and_cut_at_the_end():
    assert per_layer((8, 4), 4) == (8, 4, 0, 0)
    assert per_layer((8, 4, 2), 2) == (8, 4)


@pytest.mark.parametrize(
    ("inflection", "wanted"),
    [
        (-1.0, (16, 12, 8, 4, 0)),  # from 2r to 0
        (0.0, (8, 8, 8, 8, 8)),  # constant
        (1.0, (0, 4, 8, 12, 16)),  # from 0 to 2r
        (0.5, (4, 6, 8, 10, 12)),  # from r/2 to 3r/2
    ],
)
def test_an_inflected_schedule_is_linear(inflection, wanted):
    assert per_layer((8, inflection), 5) == wanted


def test_fractions_are_cut_towards_zero():
    assert per_layer((16, -1.0), 12) == (32, 29, 26, 23, 20, 17, 14, 11, 8, 5, 2, 0)
    assert per_layer((5, 0.3), 4) == (3, 4, 5, 7)


def test_one_layer_gets_the_first_value():
    assert per_layer((8, -1.0), 1) == (16,)


def test_a_pair_is_inflected_when_its_second_number_is_a_fraction():
    assert is_inflected((8, -1.0))
    assert not is_inflected((8, 1))
    assert not is_inflected((8, 4, 2.0))
    assert per_layer((8, 1), 3) == (8, 1, 0)


@given(r=st.integers(0, 64), inflection=st.floats(-1.0, 1.0), layers=st.integers(1, 48))
def test_an_inflected_schedule_merges_about_r_per_layer(r, inflection, layers):
    schedule = per_layer((r, inflection), layers)
    assert len(schedule) == layers
    assert all(0 <= n <= 2 * r for n in schedule)
    rising = all(a <= b for a, b in pairwise(schedule))
    falling = all(a >= b for a, b in pairwise(schedule))
    assert rising or falling
    if layers > 1:
        assert r * layers - 2 * layers <= sum(schedule) <= r * layers + layers
