"""Compiled for the CPU, where there is no GPU: the same code path but for the device."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from edgetok.errors import RuntimeFailed, TargetRefuses
from edgetok.graph import capture, rewrite
from edgetok.registry import installed
from edgetok.requirements import has_device, require
from edgetok.testing import zoo
from edgetok.testing.reductions import Merge
from edgetok.testing.trial import Trial, difference, run, subject
from edgetok_exporters.aoti import AotiExporter, Options

TARGET = installed().target("cuda")


def scaled():
    return rewrite(capture(zoo.component("scaled", nn.PReLU(4), {"input": torch.arange(-4.0, 4.0).reshape(2, 4)})))


def merged():
    return Trial(Merge(), subject(zoo.short_encoder)).optimised


@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs a C++ compiler, and there is no g++")
@pytest.mark.parametrize("make", [scaled, pytest.param(merged, marks=pytest.mark.exhaustive)])
def test_a_package_computes_the_same_at_any_batch(tmp_path, make):
    program = make()
    made = AotiExporter().export(program, TARGET, tmp_path, options=Options(device="cpu"))
    assert {path.name for path in made.files} == {"model.pt2", "model.json"}
    runner = AotiExporter().load(made.entry, threads=1)
    for n in (1, 2):
        inputs = {name: tensor[:n] for name, tensor in program.example.items()}
        found = runner({name: tensor.numpy() for name, tensor in inputs.items()})
        for spec, want in zip(program.outputs, run(program, inputs), strict=True):
            assert difference(torch.from_numpy(found[spec.name]), want) < 1e-5
    with pytest.raises(RuntimeFailed, match="given: y"):
        runner({"y": np.zeros(1)})


@pytest.mark.skipif(has_device(TARGET), reason="there is a CUDA device here")
def test_without_a_gpu_the_target_refuses_before_any_work():
    with pytest.raises(TargetRefuses, match="needs a device"):
        require(TARGET)


def test_what_is_no_package_is_an_error(tmp_path):
    (tmp_path / "model.pt2").write_bytes(b"no archive")
    with pytest.raises(RuntimeFailed, match="cannot load"):
        AotiExporter().load(tmp_path / "model.pt2")
