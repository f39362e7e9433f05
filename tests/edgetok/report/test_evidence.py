"""Perplexity in every rendering of a report, and what it does to the verdict."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgetok.report import Report, render_html
from edgetok.report.evidence import Accuracy, Perplexity
from edgetok.report.figures import figures
from edgetok.report.wording import harmless, verdict

FIGURES = {"tokens": 40_640, "windows": 320, "dense": 2.5, "optimized": 3.125, "ratio": 0.8, "ci95": (0.79, 0.81)}


@pytest.fixture
def report(make_report):
    """``report(ci95=None)``: a report of a language model."""

    def make(**changes):
        text = Perplexity(**FIGURES | changes)
        shares = {"n": 320, "dense": 70.0, "optimized": 65.0, "drop": 5.0, "ci95": (4.0, 6.0)}
        found = Accuracy(how="Both files on the same text.", metric="next-token top-1", perplexity=text, **shares)
        return make_report(accuracy=found)

    return make


def test_it_is_told_everywhere(report):
    made = report()
    row = next(figure for figure in figures(made) if figure.name == "perplexity")
    assert (row.dense, row.optimized) == ("2.50", "3.12")
    assert "0.80" in row.compared
    assert "0.790" in row.compared
    page = render_html(made)
    assert "perplexity, optimised" in page
    assert "40,640 in 320 windows" in page
    assert "Perplexity 3.12 against 2.50 on 40,640 tokens." in verdict(made).details


def test_it_survives_json(report):
    made = report(ci95=None)
    assert Report.from_json(made.model_dump_json(by_alias=True)) == made


@pytest.mark.parametrize(("ci95", "expected"), [((0.79, 0.81), False), ((0.79, 1.01), True), (None, False)])
def test_it_is_harmless_where_its_interval_reaches_one(report, ci95, expected):
    assert harmless(report(ci95=ci95)) is expected


def test_a_ratio_the_wrong_way_round_is_refused():
    with pytest.raises(ValidationError, match="dense / optimized"):
        Perplexity(**FIGURES | {"ratio": 1.25})
