"""The comparison of reductions says what the JSON says; the chart has a line per method."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from docs.generate import methods, pareto

SVG = "{http://www.w3.org/2000/svg}"
SETTING = {"how": "Walked.", "machine": "a machine", "versions": {"torch": "1"}, "commit": "c" * 40}


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


def accuracy_row(method, budget, kl, drop):
    return {
        "method": method,
        "plugin": "tome",
        "options": {"r": [8, 8]},
        "budget": budget,
        "tokens": [9, 1],
        "saved": budget + 0.1,
        "kl": interval(kl, kl / 2, kl * 2),
        "agreement": 97.0,
        "drop": interval(drop, drop - 1, drop + 1),
        "samples": 650,
    }


def fold(ratio, **more):
    return {
        "samples": 325,
        "kl": interval(0.01, 0.0, 0.02),
        "agreement": 98.5,
        "drop": interval(0.3, -0.4, 1.1),
        "ratio": ratio,
        **more,
    }


@pytest.fixture
def results(tmp_path):
    rows = [accuracy_row("worse", 25, 0.04, 1.2), accuracy_row("better", 25, 0.02, -0.2)]
    half = {
        "budget": 25,
        "saved": 24.9,
        "folds": [fold(interval(0.6, 0.5, 0.7), method="better"), fold(interval(0.8, 0.7, 0.9), method="worse")],
        "both": fold(interval(0.7, 0.6, 0.8)),
    }
    accuracy = {**SETTING, "dense": 82.0, "goal": 0.7, "rows": rows, "halves": [half]}
    timed = [
        {"method": name, "budget": 25, "latency": interval(value, value - 0.01, value + 0.01)}
        for name, value in (("worse", 0.9), ("better", 0.7))
    ]
    (tmp_path / methods.ACCURACY).write_text(json.dumps(accuracy))
    (tmp_path / methods.LATENCY).write_text(json.dumps({**SETTING, "load_average": 0.2, "rows": timed}))
    return tmp_path


def test_nothing_is_claimed_without_a_result(tmp_path):
    assert {block() for block in methods.blocks(tmp_path).values()} == {"Not measured yet.\n"}
    assert pareto.image(tmp_path) == "Not measured yet.\n"
    assert pareto.files(tmp_path) == {}


def test_the_sweep_is_ordered_by_kl_and_states_intervals(results):
    page = methods.sweep(results)
    row = "| better | 25.1 % | 0.70 (0.69 to 0.71) | 0.0200 (0.0100 to 0.0400) | 97.0 % | -0.20 (-1.20 to +0.80) |"
    assert row in page
    assert page.index("| better ") < page.index("| worse ")
    assert "load average 0.20" in page


def test_latency_that_was_not_measured_is_not_made_up(results):
    (results / methods.LATENCY).unlink()
    page = methods.sweep(results)
    assert "| better | 25.1 % | - |" in page
    assert "Latency: not measured yet." in page
    assert pareto.chart(results) is None


def test_latency_of_other_options_is_not_that_rows(results):
    """A method's options change between two runs, and its name does not."""
    latency = json.loads((results / methods.LATENCY).read_text())
    worse, better = latency["rows"]
    worse["options"], better["options"] = {"r": [8, 8]}, {"r": [8, 7]}
    (results / methods.LATENCY).write_text(json.dumps(latency))
    page = methods.sweep(results)
    assert "| worse | 25.1 % | 0.90 (0.89 to 0.91) |" in page
    assert "| better | 25.1 % | - |" in page
    assert [row["method"] for row in pareto.shown(results)[0]] == ["worse"]


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (interval(0.65, 0.5, 0.8), "better beyond doubt; the aim of 0.7 is met"),
        (interval(0.8, 0.7, 0.9), "better beyond doubt; the aim of 0.7 is missed"),
        (interval(0.6, 0.4, 1.1), "no difference beyond doubt; the aim of 0.7 is missed"),
        (interval(1.3, 1.1, 1.5), "they are worse; the aim of 0.7 is missed"),
    ],
)
def test_the_verdict_heeds_the_interval(ratio, said):
    assert said in methods.verdict({"saved": 25.0, "both": {"ratio": ratio}}, 0.7)


def test_each_half_is_judged_by_what_the_other_chose(results):
    page = methods.halves(results)
    assert "| 24.9 % | half two (n = 325) | better | 0.60 (0.50 to 0.70)x | 98.5 % | +0.30 (-0.40 to +1.10) |" in page
    assert "| 24.9 % | half one (n = 325) | worse |" in page
    assert "the aim of 0.7 is met" in page


def test_a_share_over_its_goal_is_said_to_be(tmp_path):
    row = {"plugin": "tome", "tokens": 197, "channels": 384, "removed": 13, "block_ms": 2.0, "merge_ms": 0.12}
    row |= {"share": 0.06, "share_spread": [0.05, 0.07], "goal": 0.05}
    (tmp_path / methods.SHARE).write_text(json.dumps({**SETTING, "rows": [row]}))
    assert "| 2.00 ms | 0.120 ms | 6.0 % (5.0 to 7.0) | 5 %, missed |" in methods.shares(tmp_path)


def test_the_chart_has_a_line_and_a_name_per_method_and_both_colour_schemes(results):
    root = ET.fromstring(pareto.chart(results))
    assert root.tag == f"{SVG}svg"
    assert len(root.findall(f"{SVG}path")) == 2
    assert {"better", "worse"} <= {node.text for node in root.iter(f"{SVG}text")}
    assert "prefers-color-scheme:dark" in root.find(f"{SVG}style").text


def test_lower_drops_are_drawn_lower(results):
    """A picture with its axis upside down would praise the worst method."""
    root = ET.fromstring(pareto.chart(results))
    worse, better = (float(node.get("d").split()[1]) for node in root.findall(f"{SVG}path"))
    assert better > worse
