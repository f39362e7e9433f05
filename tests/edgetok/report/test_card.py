import re
import subprocess
import sys

import pytest
import yaml
from markdown_it import MarkdownIt

from edgetok.report.card import fence, plain, render_card, span
from edgetok.report.evidence import Refusal
from edgetok.report.schema import Delivered, Io, ModelInfo, PluginInfo, TargetInfo

HOSTILE = "<script>alert(1)</script>\n# Title `code` | cell [link](javascript:x) ```\n---"


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_front_matter_names_plugins_and_a_known_licence(make_report):
    card = render_card(make_report(model=ModelInfo(name="m", licence="apache-2.0")))
    assert front_matter(card) == {"tags": ["edgetok", "onnx", "tome"], "license": "apache-2.0"}


def test_an_unknown_licence_is_quoted_in_words_only(make_report):
    card = render_card(make_report(model=ModelInfo(name="m", licence="Research only (see site)")))
    assert "license" not in front_matter(card)
    assert "states: Research only (see site)" in card


def test_no_licence_is_said(make_report):
    assert "states no licence" in render_card(make_report())


def test_every_figure_has_its_how(any_report):
    card = render_card(any_report)
    rows = [line for line in card.splitlines() if line.startswith("| ")]
    table = rows[rows.index("| figure | dense | optimised | dense / optimised | how |") + 2 :]
    table = table[: next(i for i, row in enumerate(table) if row.startswith("| tensor"))]
    assert len(table) >= 5
    assert all(len(re.split(r"(?<!\\)\|", row)) == 7 and row.split("|")[-2].strip() for row in table)


def test_recipe_block_is_the_recipe(make_report):
    report = make_report()
    block = re.search(r"## Recipe.*?```yaml\n(.*?)```", render_card(report), re.DOTALL).group(1)
    assert yaml.safe_load(block) == report.recipe


def test_limits_name_what_was_not_shown(make_state):
    assert "Accuracy was not evaluated" in render_card(make_state("no-evaluation"))
    assert "Latency was not measured" in render_card(make_state("no-evaluation"))
    failed = render_card(make_state("parity-failed"))
    assert "[!CAUTION]" in failed
    assert failed.index("Parity failed") < failed.index("## Figures")


def test_refusals_are_listed_up_to_a_few(make_state):
    card = render_card(make_state("deep-and-refused"))
    assert "tome left 40 places alone" in card
    assert "5 more reasons" in card


def test_names_from_outside_stay_text(make_report):
    card = render_card(
        make_report(
            model=ModelInfo(name=HOSTILE, source=HOSTILE, licence=HOSTILE),
            plugins=(PluginInfo(name=HOSTILE, options={"a": HOSTILE}, paper=HOSTILE, paper_url="javascript:x"),),
            refusals=(Refusal(site="s", plugin=HOSTILE, reason=HOSTILE),),
            recipe={"model": HOSTILE},
            plan_digest=HOSTILE,
        )
    )
    matter, body = card.split("---\n", 2)[1:]
    assert yaml.safe_load(matter)["tags"][0] == "edgetok"
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    assert "<script" not in page
    assert set(re.findall(r'href="([^"]*)"', page)) == {"report.html", "report.json"}
    headings = re.findall(r"<h(\d)>", page)
    assert headings.count("1") == 1
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 8


def test_code_cannot_be_ended_by_its_content():
    assert span("a`b") == "`` a`b ``"
    assert fence("x\n```\ny", "yaml") == "````yaml\nx\n```\ny\n````"
    assert plain("a|b\nc") == "a\\|b c"


def test_another_runtime_has_no_python_snippet(make_report):
    card = render_card(make_report(target=TargetInfo(name="phone", runtime="Core ML")))
    assert "onnxruntime.InferenceSession" not in card
    assert "Open `model.onnx` in Core ML." in card


@pytest.mark.parametrize("runtime", ["onnxruntime", "onnxruntime (CPUExecutionProvider)"])
def test_the_load_snippet_runs(make_report, tmp_path, runtime):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    text = (
        '<ir_version: 9, opset_import: ["" : 20]> '
        "g (float[batch, 3] pixel_values, int64[batch, 4] attention_mask) => (float[batch, 3] y, int64[batch, 4] z) "
        "{ y = Relu(pixel_values) z = Identity(attention_mask) }"
    )
    onnx.save(onnx.parser.parse_model(text), tmp_path / "it's.onnx")
    delivered = Delivered(
        entry="it's.onnx",
        inputs=(
            Io(name="pixel_values", shape=("batch", 3), dtype="torch.float32"),
            Io(name="attention_mask", shape=("batch", 4), dtype="int64"),
        ),
    )
    card = render_card(make_report(delivered=delivered, target=TargetInfo(name="t", runtime=runtime)))
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL).group(1)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "y (1, 3)\nz (1, 4)\n"
