import pytest

from edgetok.report.cost import LatencyRow
from edgetok.report.wording import (
    MINUS,
    NONE,
    SPACE,
    TIMES,
    change,
    clean,
    milliseconds,
    number,
    option,
    points,
    refusal_groups,
    saving,
    scaled,
    speed_level,
    verdict,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12.34, "12.3"),
        (0.012345, "0.0123"),
        (123456.7, "123,457"),
        (7.2e-6, f"7.20e{MINUS}6"),
        (-1.5, f"{MINUS}1.50"),
    ],
)
def test_number_has_three_significant_digits(value, text):
    assert number(value) == text


def test_nothing_measured_is_a_dash():
    assert number(None) == milliseconds(None) == scaled(None, "B") == points(None) == NONE


def test_units():
    assert scaled(2.514e9, "FLOPs") == f"2.51{SPACE}GFLOPs"
    assert scaled(512, "B") == f"512{SPACE}B"
    assert change(2.5e9, 1.5e9, "FLOPs") == f"2.50 → 1.50{SPACE}GFLOPs"
    assert change(2.5e9, 1.5e6, "FLOPs") == f"2.50{SPACE}GFLOPs → 1.50{SPACE}MFLOPs"
    assert points(-0.001) == "0.00"
    assert points(-0.5) == f"{MINUS}0.50"
    assert saving(0.8) == f"0.80{TIMES} (25 % more)"
    assert saving(1.5) == f"1.50{TIMES}"
    assert option("prop_attn", True) == "prop_attn=true"


def test_clean_shows_what_could_hide():
    assert clean("a\x1b[31mb\u202ec\nd") == "a\ufffd[31mb\ufffdc\nd"


@pytest.mark.parametrize(
    ("spread", "level"), [((1.1, 1.2), "good"), ((0.9, 0.95), "warn"), ((0.98, 1.02), "plain"), (None, "good")]
)
def test_speed_is_judged_by_its_spread(spread, level):
    assert speed_level(LatencyRow(dense_ms=2.0, optimized_ms=1.8, ratio=1.1, spread=spread)) == level


def test_a_good_run_says_how_fast(make_report):
    found = verdict(make_report())
    assert found.level == "good"
    times = f"8.04{SPACE}ms against 12.3{SPACE}ms"
    assert found.headline == f"1.53{TIMES} the speed of the dense model: {times}, batch 1, 1 thread."
    assert found.details == ("Top-1 0.15 points lower on 650 samples.",)


def test_failed_parity_comes_first(make_state):
    found = verdict(make_state("parity-failed"))
    assert found.level == "fail"
    assert found.headline.startswith("Parity failed")
    assert "vit.layers.3.attention" in found.details[0]


def test_slower_is_said(make_state):
    found = verdict(make_state("slower"))
    assert found.level == "warn"
    assert found.headline.startswith("Slower than the dense model: 3.62")


def test_slower_at_another_batch_size_is_said(make_report):
    report = make_report()
    slow = LatencyRow(dense_ms=2.0, optimized_ms=3.0, ratio=0.67, spread=(0.6, 0.7), batch=32)
    found = verdict(report.model_copy(update={"latency": report.latency.model_copy(update={"more": (slow,)})}))
    assert found.level == "warn"
    assert found.details[0].startswith("Batch 32: Slower than the dense model")


@pytest.mark.parametrize("state", ["no-evaluation", "deep-and-refused"])
def test_speed_alone_is_not_called_good(make_state, state):
    """Nothing measured, or an accuracy drop whose interval excludes zero."""
    assert verdict(make_state(state)).level == "plain"


def test_refusals_with_one_reason_are_one_group(make_state):
    groups = refusal_groups(make_state("deep-and-refused"))
    assert len(groups) == 10
    assert len(next(iter(groups.values()))) == 40
