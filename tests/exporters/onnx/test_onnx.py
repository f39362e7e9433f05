"""The exporter as edgetok finds it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from edgetok.errors import MissingExtra
from edgetok_exporters import onnx as package
from edgetok_exporters.onnx import OnnxExporter, Options


def test_importing_it_is_light():
    heavy = "{'torch', 'onnx', 'onnxruntime', 'onnxscript'} & set(sys.modules)"
    command = f"import sys, edgetok_exporters.onnx; sys.exit(1 if {heavy} else 0)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_the_entry_point_gives_the_exporter():
    assert package.edgetok_exporters() == [OnnxExporter]
    assert (OnnxExporter.name, OnnxExporter.suffix, package.api_version) == ("onnx", ".onnx", "1")


@pytest.mark.parametrize("bad", [{"opset": 17}, {"batch": 0}, {"dtype": "int8"}, {"unknown": 1}], ids=str)
def test_bad_options_are_refused(bad):
    with pytest.raises(ValidationError):
        Options(**bad)


def test_options_come_from_the_target_where_none_are_given(capture, here, tmp_path):
    program = capture(lambda x: (x + 1,), {"x": torch.randn(2, 3)})
    target = here().model_copy(update={"options": {"external_data": "always"}})
    made = OnnxExporter().export(program, target, tmp_path, stem="m")
    assert [path.name for path in made.files] == ["m.onnx", "m.onnx.data"]
    assert made.seconds > 0


def test_a_missing_package_names_the_extra(monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name))
    with pytest.raises(MissingExtra, match="onnxruntime") as caught:
        OnnxExporter().load(tmp_path / "model.onnx")
    assert "edgetok[onnx]" in caught.value.hint
