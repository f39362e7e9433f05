"""Core ML's compute plan: coremltools' own classes, over a stand-in for the native part that only macOS has."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest
import torch

from edgetok.verify.mil.package import open_package
from edgetok_exporters.coreml import export, plan
from edgetok_exporters.coreml.placement import INSERTED

not_macos = pytest.mark.skipif(sys.platform == "darwin", reason="test_predict.py asks Core ML itself")


class Native:
    """What Core ML would answer of a package: every operation on the device of its type, constants on none."""

    def __init__(self, package, devices):
        from coremltools.models import compute_plan as api

        function = next(iter(open_package(package).spec.mlProgram.functions.values()))
        operations = [self.operation(api, op) for op in function.block_specializations[function.opset].operations]
        block = api.MLModelStructureProgramBlock([], operations, [])
        program = api.MLModelStructureProgram({"main": api.MLModelStructureProgramFunction([], block)})
        self.model_structure = api.MLModelStructure(None, program, None)
        self.devices, self.api = devices, api

    @staticmethod
    def operation(api, op):
        outputs = [api.MLModelStructureProgramNamedValueType(value.name, None) for value in op.outputs]
        return api.MLModelStructureProgramOperation({}, f"ios18.{op.type}", outputs, [], None)

    def get_compute_device_usage_for_mlprogram_operation(self, operation):
        from coremltools.models import compute_device

        kind = operation.operator_name.partition(".")[2]
        if kind == "const":
            return None
        device = object.__new__(getattr(compute_device, self.devices.get(kind, "MLNeuralEngineComputeDevice")))
        return self.api.MLComputePlanDeviceUsage(device, [device])


@pytest.fixture
def mac(monkeypatch):
    """``mac(gelu="MLCPUComputeDevice")``: exports happen on a Mac that runs gelu on the CPU; gives what it compiles."""
    from coremltools.models import compute_plan as api
    from coremltools.models import utils

    compiled = []

    def start(**devices):
        def compile_model(model, destination_path=None):
            compiled.append(Path(model))
            return destination_path

        answers = SimpleNamespace(get_compute_plan=lambda path, units: api.MLComputePlan(Native(compiled[-1], devices)))
        monkeypatch.setattr(utils, "compile_model", create_autospec(utils.compile_model, side_effect=compile_model))
        monkeypatch.setattr(api, "_MLComputePlanProxy", Native)
        monkeypatch.setattr(api, "_MLModelProxy", answers)
        monkeypatch.setattr(export, "platform", SimpleNamespace(system=lambda: "Darwin"))
        return compiled

    return start


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(8, 8)

    def forward(self, x):
        return (torch.nn.functional.gelu(self.inner(x)),)


@pytest.fixture
def layer(program):
    return program(Layer(), {"x": torch.randn(1, 8)})


def test_on_a_mac_the_report_has_core_mls_own_plan(mac, layer, target, package):
    compiled = mac(gelu="MLCPUComputeDevice")
    made = package(layer, target())
    assert compiled == [made.entry]
    found = made.delegation
    assert (found.delegate, found.how) == ("neural-engine", plan.HOW)
    assert found.outside == {"gelu": 1}
    assert found.facts == {"on cpu": 1, "on neural-engine": found.inside}
    assert found.inside >= 1


def test_what_plugins_inserted_is_known_there_too(mac, merged, target, package):
    mac(abs="MLGPUComputeDevice")
    found = package(merged("short_encoder"), target()).delegation
    assert found.facts["on gpu"] == found.outside["abs"]
    assert 0 < found.facts[f"{INSERTED}merge"] <= found.outside["abs"]


def test_another_device_is_the_one_that_is_meant(mac, layer, target, package):
    mac(linear="MLGPUComputeDevice", gelu="MLGPUComputeDevice")
    found = package(layer, target("coreml-gpu")).delegation
    assert (found.delegate, found.outside, found.partitions) == ("gpu", {}, 1)


def test_check_builds_are_not_compiled(mac, layer, target, package):
    compiled = mac()
    node = next(node.name for node in layer.graph.nodes if node.op == "call_function" and "linear" in node.name)
    assert "not measured" in package(layer, target(), expose=[node]).delegation.how
    assert compiled == []


@not_macos
def test_without_a_plan_the_table_is_told_and_why(layer, target, package):
    """coremltools as it is refuses to compile on another system, as it does on an old macOS."""
    made = package(layer, target())
    found = plan.measured(made.entry, "main", target(), {}, made.delegation)
    assert "macOS" in found.facts[plan.UNKNOWN]
    assert found.how == made.delegation.how


@not_macos
def test_elsewhere_nothing_is_asked(layer, target, package, monkeypatch):
    monkeypatch.setattr(plan, "placements", lambda *_: pytest.fail("a compute plan was asked for"))
    assert "not measured" in package(layer, target()).delegation.how
