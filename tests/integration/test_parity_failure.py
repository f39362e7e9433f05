"""A file that computes something else is not delivered, unless the user insists; then everything says so."""

from __future__ import annotations

import json
import sys
import textwrap

import pytest

from edgetok.registry import installed

BROKEN = """
from pathlib import Path

from edgetok.hookspecs import hookimpl
from edgetok_exporters.onnx import OnnxExporter

api_version = "1"


class Broken(OnnxExporter):
    \"\"\"ONNX with one weight of the second layer wrong.\"\"\"

    name = "broken-onnx"
    summary = "ONNX with a wrong weight"

    def export(self, program, target, directory, **rest):
        import onnx
        from onnx import numpy_helper

        made = super().export(program, target, directory, **rest)
        model = onnx.load(made.entry)
        (bias,) = [t for t in model.graph.initializer if t.name.endswith("layers.1.linear1.bias")]
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + SHIFT, bias.name))
        onnx.save(model, made.entry)
        return made


@hookimpl
def edgetok_exporters():
    return [Broken]


@hookimpl
def edgetok_targets():
    return [Path(__file__).with_name("broken.toml")]
"""
TARGET = """
name = "broken"
summary = "for tests"
exporter = "broken-onnx"
runtime = "onnxruntime"
requires = ["onnx", "onnxruntime"]
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """``install(shift)``: a distribution with a target whose files have a weight that is wrong by ``shift``."""
    site = tmp_path / "site"
    info = site / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgetok]\nbroken = broken_exporter\n")
    (site / "broken.toml").write_text(TARGET)
    monkeypatch.syspath_prepend(site)

    def make(shift):
        (site / "broken_exporter.py").write_text(textwrap.dedent(BROKEN).replace("SHIFT", repr(shift)))
        installed.cache_clear()

    yield make
    sys.modules.pop("broken_exporter", None)
    installed.cache_clear()


RUN = ("optimize", "shop_models:make", "-p", "tome:r=2", "-t", "broken", "-o", "out", "--no-bench")


def test_nothing_is_delivered_and_the_module_is_named(install, shop, line):
    install(0.05)
    said = line(*RUN, "--json")
    error = said.json["error"]
    assert (said.status, error["code"]) == (7, "ET501")
    assert "first diverging module: layers.1" in error["why"]
    assert "logits" in error["why"]
    assert "--allow-parity-failure" in error["hint"]
    assert "Traceback" not in said.err
    assert list(line.folder.iterdir()) == []


def test_a_small_error_is_an_error(install, shop, line):
    install(5e-3)
    assert line(*RUN).status == 7


def test_the_same_exporter_without_its_fault_passes(install, shop, line):
    install(0.0)
    said = line(*RUN)
    assert said.status == 0, said.err
    assert "FAILED" not in said.out + said.err


def test_where_the_user_insists_it_is_said_everywhere(install, shop, line):
    install(0.05)
    said = line(*RUN, "--allow-parity-failure")
    assert said.status == 0, said.err
    assert "PARITY FAILED" in said.err
    assert "FAILED" in said.out
    out = line.folder / "out"
    report = json.loads((out / "report.json").read_text())
    assert report["parity"]["passed"] is False
    assert report["parity"]["first_diverging_module"].startswith("layers.1")
    assert "FAILED" in report["notes"][0]
    assert json.loads((out / "manifest.json").read_text())["parity"]["passed"] is False
    for name in ("README.md", "report.html"):
        assert "fail" in (out / name).read_text().lower(), name
    checked = line("verify", "out", "--json")
    assert checked.status == 0, checked.err
    assert checked.json["parity_when_made"] is False
