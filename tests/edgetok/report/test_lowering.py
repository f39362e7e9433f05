from edgetok.exporter import Delegation
from edgetok.lowering import Forecast, OpForecast
from edgetok.report.html import render_html
from edgetok.report.lowering import Lowering

FORECAST = Forecast(
    target="t",
    ops=(
        OpForecast(op="linear", maker="model", count=49, placement="native"),
        OpForecast(op="matmul", maker="tome", count=24, placement="native"),
        OpForecast(op="gather", maker="tome", count=3, placement="fallback", why="runs on the CPU <here>"),
    ),
    partitions=4,
    cuts={"gather": 3},
    source="these tests",
)
DELEGATION = Delegation(
    delegate="npu",
    inside=90,
    outside={"gather": 3, "cast": 7},
    partitions=5,
    bytes=1000,
    facts={"cycles": 12},
    how="Counted.",
)


def test_forecast_and_measurement_are_kept_apart():
    found = Lowering.of(FORECAST, DELEGATION, "simulated", "evaluated here")
    assert (found.partitions, found.measured.partitions) == (4, 5)
    assert found.measured.share == 0.9
    assert found.ops[2].why == "runs on the CPU <here>"


def test_a_forecast_says_that_it_is_of_the_program_before_quantising(make_report):
    report = make_report(
        lowering=Lowering.of(FORECAST.model_copy(update={"precision": "int8-static"}), None, "run", "")
    )
    assert report.lowering.how.endswith("what quantising to int8-static cuts is not forecast.")
    report = report.model_copy(update={"target": report.target.model_copy(update={"precision": "int8-static"})})
    assert "4 partitions forecast, before it is quantised." in render_html(report)
    assert "quantis" not in Lowering.of(FORECAST, None, "run", "").how


def test_without_a_table_or_a_count_it_says_so():
    found = Lowering.of(None, None, "lowered", "")
    assert "no table" in found.how
    assert found.measured is None


def test_the_page_shows_both_and_escapes(make_report):
    lowering = Lowering.of(FORECAST, DELEGATION, "simulated", "evaluated here")
    page = render_html(make_report(lowering=lowering))
    section = page.split("What runs where")[1].split("</section>")[0]
    for words in ("simulated: evaluated here", "4 partitions forecast", "&lt;here&gt;", "operations in npu", "cycles"):
        assert words in section, words
    assert "What runs where" not in render_html(make_report())
