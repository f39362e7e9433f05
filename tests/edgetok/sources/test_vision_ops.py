"""torchvision built for another torch, imported anyway: packages that fail as the real ones do."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

TORCHVISION = """
import torch
for name in ("nms", "qnms"):
    @torch.library.register_fake(f"torchvision::{name}")
    def fake(dets, scores, iou_threshold):
        return dets.new_empty(0, dtype=torch.long)
"""
"""What torchvision's ``__init__`` does whether or not its compiled operators were loaded."""
TIMM = "import torchvision\ndef is_model(name): return False\ndef list_models(): return ['vit_tiny_patch16_224']\n"

LOAD = """
from edgetok.errors import ModelNotFound
from edgetok.sources import load_model
try:
    load_model("timm:vit_tiny_patch16_22")
except ModelNotFound as error:
    print(error.hint)
"""


@pytest.fixture
def python(tmp_path, monkeypatch):
    """``python(code)``: run it in a process that has a torchvision without operators, and a timm above it."""
    for name, text in {"torchvision": TORCHVISION, "timm": TIMM}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(code):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=120
        )

    return run


def test_without_help_it_fails(python):
    assert "operator torchvision::nms does not exist" in python("import timm").stderr


def test_timm_models_are_found(python):
    assert "vit_tiny_patch16_224" in python(LOAD).stdout


def test_whoever_imports_it_later_needs_no_help(python):
    code = """
    from edgetok.sources.vision_ops import usable_torchvision
    usable_torchvision()
    usable_torchvision()
    import torchvision, timm, torch
    print(torch.ops.torchvision.qnms)
    """
    assert "torchvision.qnms" in python(code).stdout


def test_other_failures_are_not_hidden(tmp_path, python):
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('its own trouble')")
    code = "from edgetok.sources.vision_ops import *; usable_torchvision(); print('here'); import timm"
    done = python(code)
    assert done.stdout.strip() == "here"
    assert "its own trouble" in done.stderr


def test_an_operator_that_is_not_known_here_is_left_to_whoever_imports_it(tmp_path, python):
    (tmp_path / "torchvision" / "__init__.py").write_text(TORCHVISION.replace('"qnms"', '"qnms", "another"'))
    code = "from edgetok.sources.vision_ops import *; usable_torchvision(); print('here'); import timm"
    done = python(code)
    assert done.stdout.strip() == "here"
    assert "torchvision::another" in done.stderr


def test_where_it_is_not_installed_nothing_happens(monkeypatch):
    from edgetok.sources.vision_ops import usable_torchvision

    monkeypatch.setitem(sys.modules, "torchvision", None)
    usable_torchvision()
