import pytest

from edgetok.report.svg import ticks


@pytest.mark.parametrize(
    ("low", "high", "about", "expected"),
    [
        (0, 197, 4, [0, 50, 100, 150]),
        (-0.7, 1.0, 4, [-0.5, 0, 0.5, 1.0]),
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (3, 3, 4, [3]),
    ],
)
def test_ticks_are_round(low, high, about, expected):
    assert ticks(low, high, about) == pytest.approx(expected)
