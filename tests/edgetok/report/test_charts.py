import itertools
import re

import pytest

from edgetok.report.charts import NARROW, WIDE, Pair, drop_chart, pairs_chart, tokens_chart
from edgetok.report.cost import Tokens
from edgetok.report.evidence import Accuracy


def tokens(optimized, dense=None):
    return Tokens(how="x", per_layer=optimized, dense_per_layer=dense or (optimized[0],) * len(optimized))


def points_of(chart, name):
    (path,) = re.findall(rf'<path d="M([^"]*)" class="{name}"', chart)
    return [tuple(map(float, point.split())) for point in path.split(" L")]


def texts(chart):
    return re.findall(r"<text[^>]*>([^<]*)</text>", chart)


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_steps_are_proportional_to_the_token_counts(width):
    chart = tokens_chart(tokens((200, 150, 50), (200, 200, 200)), width)
    steps, dense = points_of(chart, "line optimized"), points_of(chart, "line dense")
    top, (_, floor) = dense[0][1], points_of(chart.replace(" Z", ""), "area")[0]
    heights = [y for _, y in steps[::2]]
    assert heights == pytest.approx([floor - (floor - top) * n / 200 for n in (200, 150, 50)], abs=0.06)
    assert all(0 <= x <= width for x, _ in steps)


@pytest.mark.parametrize("layers", [1, 2, 6, 12, 24, 48, 96])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_layer_labels_do_not_collide(layers, width):
    chart = tokens_chart(tokens(tuple(400 - i for i in range(layers + 1))), width)
    axis = re.findall(r'<text x="([\d.]+)" y="(?:194|244)"[^>]*>(\d+|out)<', chart)
    places = sorted(float(x) for x, _ in axis)
    assert axis[-1][1] == "out"
    assert all(right - left >= 18 for left, right in itertools.pairwise(places))


def test_equal_lines_have_one_label():
    found = texts(tokens_chart(tokens((50, 50, 50)), WIDE))
    assert "dense and optimised 50" in found
    assert not [t for t in found if t.startswith("optimised")]


def test_bars_are_proportional_and_keep_room_for_values():
    pair = Pair("Files", "2.00", 10.0, 5.0, ("10 MB", "5 MB"), (12.0, None))
    chart = pairs_chart([pair], NARROW, "Size")
    widths = [float(w) for w in re.findall(r'<rect[^>]* width="([\d.]+)"', chart)]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.02)
    room = NARROW - 74 - 98
    assert widths[0] == pytest.approx(room * 10 / 12, abs=0.02)


def test_a_missing_quantity_has_no_bar():
    chart = pairs_chart([Pair("Memory", "", None, 5.0, ("not measured", "5 MB"))], NARROW, "x")
    assert chart.count("<rect") == 1
    assert "not measured" in texts(chart)


def test_long_headings_get_a_line_of_their_own_on_a_phone():
    pair = Pair("batch 128, 16 threads", "0.86 (0.84 to 0.88), slower", 1.0, 2.0, ("1 ms", "2 ms"))
    assert 'viewBox="0 0 328 88"' in pairs_chart([pair], NARROW, "x")
    assert 'viewBox="0 0 720 70"' in pairs_chart([pair], WIDE, "x")


@pytest.mark.parametrize(
    ("drop", "ci95"), [(0.15, (-0.6, 0.9)), (9.0, (4.0, 14.0)), (-2.0, (-3.0, -1.0)), (0.0, (0.0, 0.0)), (1.0, None)]
)
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_the_interval_lies_within_the_axis_and_holds_the_dot(drop, ci95, width):
    accuracy = Accuracy(how="x", n=10, dense=50.0, optimized=50.0 - drop, drop=drop, ci95=ci95)
    chart = drop_chart(accuracy, width)
    dot = float(re.search(r'<circle cx="([\d.]+)"', chart).group(1))
    ends = re.search(r'<line x1="([\d.]+)" y1="54" x2="([\d.]+)"[^>]*class="interval"', chart)
    zero = float(re.search(r'<line x1="([\d.]+)"[^>]*class="zero"', chart).group(1))
    low, high = (float(x) for x in ends.groups())
    assert 0 <= low <= dot <= high <= width
    assert 0 <= zero <= width
    assert (dot > zero) == (drop > 0) or drop == 0
