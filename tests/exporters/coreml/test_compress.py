from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgetok.errors import ExportFailed, TargetRefuses
from edgetok.precision import Precision, TensorFormat
from edgetok.verify.mil import MilRunner

FORMATS = {
    "int8-weights": TensorFormat("int8", "channel"),
    "int4-weights": TensorFormat("int4", "group", 16),
    "fp16": TensorFormat("fp16", "tensor"),
}


def quantised(program, scheme):
    names = [
        name
        for name, value in program.exported.state_dict.items()
        if value.dim() == 2 and name.endswith("weight") and value.shape[1] % 16 == 0
    ]
    return replace(program, precision=Precision(scheme, dict.fromkeys(names, FORMATS.get(scheme, FORMATS["fp16"]))))


def expanded(entry):
    return [step for step in MilRunner(entry).function.operations if step.kind.startswith("constexpr_")]


@pytest.fixture(scope="module")
def layers(program):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.GELU(), torch.nn.Linear(64, 64))
    return program(module, {"input": torch.randn(1, 64)})


@pytest.mark.parametrize(
    ("name", "scheme", "worst"),
    [("coreml", "int8-weights", 0.02), ("coreml-ios17", "int8-weights", 0.02), ("coreml", "int4-weights", 0.2)],
)
def test_weights_are_stored_in_fewer_bits(name, scheme, worst, layers, target, package, difference):
    made = package(quantised(layers, scheme), target(name))
    assert len(expanded(made.entry)) == 2
    assert 1e-3 < difference(made.entry, layers) < worst
    plain = package(layers, target(name))
    size, before = (next(p for p in m.files if p.name == "weight.bin").stat().st_size for m in (made, plain))
    assert size < {"int8-weights": 0.65, "int4-weights": 0.45}[scheme] * before


def test_only_the_weights_that_are_named(merged, target, package):
    """The matching multiplies by constant matrices too: none of them is quantised."""
    found = quantised(merged("short_encoder"), "int8-weights")
    made = package(found, target())
    assert len(expanded(made.entry)) == len(found.precision.weights)
    assert all(step.outputs[0].name.startswith("p_") for step in expanded(made.entry))


def test_fp16_weights_are_those_of_an_fp16_program(layers, target, package):
    assert not expanded(package(quantised(layers, "fp16"), target()).entry)
    with pytest.raises(TargetRefuses, match="fp32 weights"):
        package(quantised(layers, "fp16"), target(), dtype="fp32")


@pytest.mark.parametrize("bits", [4, 6])
def test_tables_give_numbers(bits, layers, target, package, difference):
    """Palettised weights once came back as NaN."""
    made = package(layers, target(), palettize=bits)
    assert {step.kind for step in expanded(made.entry)} == {"constexpr_lut_to_dense"}
    out = MilRunner(made.entry)({"input": layers.example["input"].numpy()})["out0"]
    assert np.isfinite(out).all()
    assert difference(made.entry, layers) < {4: 0.3, 6: 0.1}[bits]


@pytest.mark.parametrize("scheme", ["int8-static", "int8-dynamic", "int4-dynamic"])
def test_a_scheme_that_the_target_lacks_is_refused(scheme, layers, target, package):
    with pytest.raises(TargetRefuses, match=scheme):
        package(quantised(layers, scheme), target())


def test_ios_17_has_no_int4(layers, target, package):
    with pytest.raises(TargetRefuses, match="int4"):
        package(quantised(layers, "int4-weights"), target(), minimum_deployment="iOS17")


def test_tables_and_scales_exclude_each_other(layers, target, package):
    with pytest.raises(ExportFailed, match="both"):
        package(quantised(layers, "int8-weights"), target(), palettize=4)
