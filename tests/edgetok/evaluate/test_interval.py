"""Tango's paired interval."""

from math import comb, sqrt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgetok.evaluate.interval import paired_interval

Z = 1.959963984540054


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(2, 2000))
    b = draw(st.integers(0, n))
    return b, draw(st.integers(0, n - b)), n


@given(tables())
def test_holds_the_estimate_and_mirrors(table: tuple[int, int, int]) -> None:
    b, c, n = table
    low, high = paired_interval(b, c, n)
    assert -1 <= low <= (b - c) / n + 1e-12
    assert (b - c) / n - 1e-12 <= high <= 1
    mirrored = paired_interval(c, b, n)
    assert mirrored == pytest.approx((-high, -low), abs=1e-9)


@given(tables())
def test_leaves_out_zero_exactly_where_mcnemar_rejects(table: tuple[int, int, int]) -> None:
    b, c, n = table
    assume(b + c > 0)
    statistic = (b - c) / sqrt(b + c)
    assume(abs(abs(statistic) - Z) > 1e-6)
    low, high = paired_interval(b, c, n)
    assert (low > 0 or high < 0) == (abs(statistic) > Z)


def test_no_disagreement_has_a_closed_form() -> None:
    high = Z**2 / (650 + Z**2)
    assert paired_interval(0, 0, 650) == pytest.approx((-high, high), abs=1e-9)


def test_all_disagree_one_way() -> None:
    """Here the score is sqrt(n (1 - delta) / (1 + delta))."""
    low, high = paired_interval(10, 0, 10)
    assert low == pytest.approx((10 - Z**2) / (10 + Z**2), abs=1e-9)
    assert high == pytest.approx(1)


def test_narrows_like_the_root_of_n() -> None:
    small, large = (paired_interval(20 * k, 10 * k, 100 * k) for k in (1, 100))
    assert (small[1] - small[0]) / (large[1] - large[0]) == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(("first", "second"), [(0.05, 0.05), (0.1, 0.02), (0.2, 0.1)])
def test_covers_the_truth_about_95_times_in_100(first: float, second: float) -> None:
    """Exact coverage at n = 60, summed over every table of the multinomial."""
    n, truth, covered = 60, first - second, 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            chance = comb(n, b) * comb(n - b, c) * first**b * second**c * (1 - first - second) ** (n - b - c)
            if chance > 1e-9:
                low, high = paired_interval(b, c, n)
                covered += chance * (low <= truth <= high)
    assert 0.93 <= covered <= 0.985


@pytest.mark.parametrize("table", [(1, 1, 1), (-1, 0, 5), (0, 0, 0)])
def test_impossible_tables(table: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="samples"):
        paired_interval(*table)
