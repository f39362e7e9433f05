from __future__ import annotations

import sys

import pytest
from pydantic import ValidationError

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil import MilRunner
from edgetok_exporters.coreml import CoreMLExporter, Options


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"palettize": 5},
        {"image_std": (0.5, 0.0, 0.5)},
        {"dtype": "bf16"},
        {"minimum_deployment": "iOS12"},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        Options(**wrong)


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML itself runs packages here")
def test_here_the_interpreter_runs_packages(program, target, package):
    import torch

    made = package(program(torch.nn.Linear(4, 4), {"input": torch.randn(1, 4)}), target())
    runner = CoreMLExporter().load(made.entry)
    assert isinstance(runner, MilRunner)
    assert CoreMLExporter().simulates()


@pytest.mark.parametrize("name", ["absent.mlpackage", "file.mlpackage", "folder.mlpackage"])
def test_what_is_no_package_is_refused(name, tmp_path):
    (tmp_path / "file.mlpackage").write_bytes(b"\x08\x09")
    (tmp_path / "folder.mlpackage").mkdir()
    with pytest.raises(RuntimeFailed, match="no usable Core ML package"):
        CoreMLExporter().load(tmp_path / name)
