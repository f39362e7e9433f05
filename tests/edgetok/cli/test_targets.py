import json

import pytest

from edgetok.cli.targets import _show_check
from edgetok.lowering import Forecast
from edgetok.session.targets import TargetCheck


def test_golden_built_in_list(edgetok, golden):
    done = edgetok("targets", "list")
    assert done.returncode == 0
    golden("cli/targets-list.txt", done.stdout)
    names = [row["name"] for row in json.loads(edgetok("targets", "list", "--json").stdout)["targets"]]
    assert "onnx-cpu" in names


def test_golden_info_by_alias(edgetok, golden):
    done = edgetok("targets", "info", "onnx")
    golden("cli/targets-info.txt", done.stdout)
    assert json.loads(edgetok("targets", "info", "onnx", "--json").stdout)["name"] == "onnx-cpu"


def test_info_of_a_file_names_what_is_missing_and_the_way_to_get_it(edgetok, tmp_path):
    text = 'name = "phone"\nsummary = "s"\nexporter = "e"\nruntime = "r"\nextra = "phone"\n'
    (tmp_path / "phone.toml").write_text(text + 'requires = ["no_such_module"]\n')
    done = edgetok("targets", "info", "phone.toml")
    assert "not installed here: no_such_module; pip install 'edgetok[phone]'" in done.stdout
    assert json.loads(edgetok("targets", "info", "phone.toml", "--json").stdout)["missing"] == ["no_such_module"]
    (tmp_path / "bad.toml").write_text("name = 3\n")
    done = edgetok("targets", "info", "bad.toml")
    assert (done.returncode, done.stderr[:5]) == (3, "ET112")


@pytest.mark.parametrize("scheme", [None, "int8-static"])
def test_a_check_says_that_it_is_of_the_program_before_quantising(capsys, scheme):
    forecast = Forecast(target="t", ops=(), partitions=1, cuts={}, source="this test", precision=scheme)
    _show_check(TargetCheck.model_construct(plan=None, forecasts=(forecast,), refused={}))
    said = "in floating point: what quantising it (int8-static) cuts is not forecast"
    assert (said in capsys.readouterr().out) == (scheme is not None)
