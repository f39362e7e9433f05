"""Arm's Ethos-U: what is quantised is on the NPU, what decides is not, and both are computed here."""

from __future__ import annotations

import importlib.util
import json
import shutil
import zipfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgetok.errors import ExportFailed, MissingExtra, RuntimeFailed
from edgetok.precision import Precision
from edgetok.registry import installed
from edgetok_exporters.executorch import ExecutorchExporter, Options, vela
from edgetok_exporters.executorch.twin import DTYPE, GRAPH, SUFFIX

TOOLS = ("ethosu", "tosa_serializer", "tosa_reference_model")
needs_tools = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in TOOLS),
    reason="needs Arm's tools: pip install --no-deps ethos-u-vela==5.1.0 tosa-tools==2026.5.0",
)
LEAST_DB = 40


@pytest.fixture(scope="module")
def npu():
    return installed().target("executorch-ethos-u")


@pytest.fixture(scope="module")
def quantised(program):
    from edgetok_plugins.quantize.weights import formats

    calibration = [{"pixels": program.example["pixels"].numpy()}]
    return replace(program, precision=Precision("int8-static", formats(program, "int8", 32, ()), calibration))


@pytest.fixture(scope="module")
def exported(quantised, npu, decision, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ethos-u")
    return ExecutorchExporter().export(quantised, npu, folder, options=Options())


@pytest.fixture
def copied(exported, tmp_path):
    """The file and its twin, to be damaged."""
    for path in (exported.entry, exported.entry.with_suffix(SUFFIX)):
        shutil.copy(path, tmp_path)
    return tmp_path / exported.entry.name


def graph_of(entry):
    with zipfile.ZipFile(entry.with_suffix(SUFFIX)) as archive:
        return json.loads(archive.read(GRAPH))


@needs_tools
def test_the_simulated_file_computes_nearly_the_same(exported, quantised):
    runner = ExecutorchExporter().load(exported.entry)
    pixels = quantised.example["pixels"]
    with torch.no_grad():
        wanted, sizes = (value.numpy() for value in quantised.exported.module()(pixels=pixels))
    found = [runner({"pixels": pixels[i : i + 1].numpy()}) for i in range(2)]
    assert all(decibel(wanted[i], found[i]["out0"][0]) > LEAST_DB for i in range(2))
    assert decibel(wanted[0], found[1]["out0"][0]) < LEAST_DB / 2, "another input must not pass"
    np.testing.assert_allclose(np.exp(found[0]["out1"]).sum(), 15, atol=1e-3)
    assert sizes.shape[1] == found[0]["out1"].shape[1]


def decibel(wanted, found):
    return 10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum())


@needs_tools
def test_what_decides_is_outside_the_npu_and_never_quantised(exported):
    """The matching's sizes and ids would be fractions in int8; NPUs of integers would take ids as they are."""
    outside = exported.delegation.outside
    assert {"gather", "scatter_add", "amax", "log"} <= set(outside)
    operations = Counter(node["op"].split("::")[-1] for node in graph_of(exported.entry)["nodes"])
    assert operations["quantize_per_tensor.default"] == 2, "picture and merged tokens"
    entering = [node for node in graph_of(exported.entry)["nodes"] if "::quantize_per_tensor" in node["op"]]
    assert all(node["args"][-1] == {DTYPE: "int16"} for node in entering), "in 8 bits a whole ViT comes to nothing"
    assert exported.delegation.partitions == 2
    assert exported.delegation.inside > 20


@needs_tools
def test_an_exposed_decision_is_in_whole_numbers(quantised, npu, decision, tmp_path):
    """In steps of a scale a token's number is a fraction, which the gate takes for no decision at all."""
    check = ExecutorchExporter().export(quantised, npu, tmp_path, options=Options(), expose=(decision,))
    found = ExecutorchExporter().load(check.entry)({"pixels": quantised.example["pixels"][:1].numpy()})
    ids = [found[name] for name in check.exposed[decision]]
    assert all(np.array_equal(part, part.astype(np.int64)) for part in ids)
    kept, src, _ = (set(part[0].astype(int)) for part in ids)
    assert kept | src == set(range(15))


@needs_tools
@pytest.mark.parametrize("layers", [1, 2])
def test_the_partitioner_asks_per_node_only_where_answers_differ(layers):
    """What ExecuTorch keeps whole is the quantised layer alone; asking per node is one more trace of all."""
    from torch.ao.quantization.fx import _decomposed  # noqa: F401  (registers operators)

    from edgetok_exporters.executorch.ethos_u import partitioner

    ops = torch.ops.quantized_decomposed
    grid = (0.1, 0, -127, 127, torch.int8)

    def rounded(x):
        return ops.dequantize_per_tensor.default(ops.quantize_per_tensor.default(x, *grid), *grid)

    class Layers(torch.nn.Module):
        def forward(self, x, weight):
            y = rounded(torch.nn.functional.linear(rounded(x), rounded(weight)))
            return torch.nn.functional.linear(y * 2, y * 3) if layers == 2 else y

    exported = torch.export.export(Layers(), (torch.ones(2, 4), torch.ones(3, 4)))
    kept, ask = partitioner("ethos-u85-256").ops_to_not_decompose(exported)
    linears = exported.graph.find_nodes(op="call_function", target=torch.ops.aten.linear.default)
    assert torch.ops.aten.linear.default in kept
    assert (ask is None) == (layers == 1)
    assert ask is None or [bool(ask(node)) for node in linears] == [True, False]


@needs_tools
def test_velas_estimate_is_in_the_report(exported):
    facts = exported.delegation.facts
    assert facts["accelerator"] == "ethos-u85-256"
    assert facts["NPU cycles, estimated"] > 1000
    assert facts["SRAM KiB, largest piece"] > 0
    assert b"EthosUBackend" in exported.entry.read_bytes()
    assert [path.suffix for path in exported.files] == [".pte"], "the twin is no part of what an app ships"


@needs_tools
def test_a_twin_of_another_file_is_refused(copied):
    copied.write_bytes(copied.read_bytes() + b"\0")
    with pytest.raises(RuntimeFailed, match="not made with this"):
        ExecutorchExporter().load(copied)


@needs_tools
def test_a_file_without_its_twin_says_where_it_runs(copied):
    copied.with_suffix(SUFFIX).unlink()
    with pytest.raises(RuntimeFailed, match="ethos-u"):
        ExecutorchExporter().load(copied)


@needs_tools
@pytest.mark.parametrize("operator", ["aten::from_file.default", "aten::add_.Tensor", "os::system.default"])
def test_a_twin_runs_nothing_but_arithmetic(copied, operator):
    path = copied.with_suffix(SUFFIX)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    graph = json.loads(files[GRAPH])
    graph["nodes"][0]["op"] = operator
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**files, GRAPH: json.dumps(graph).encode()}.items():
            archive.writestr(name, data)
    with pytest.raises(RuntimeFailed, match="does not simulate"):
        ExecutorchExporter().load(copied)


@needs_tools
def test_a_damaged_twin_is_refused(copied):
    path = copied.with_suffix(SUFFIX)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RuntimeFailed, match="does not simulate"):
        ExecutorchExporter().load(copied)


def test_missing_tools_are_named_with_the_pip_line(program, npu, tmp_path, monkeypatch):
    monkeypatch.setattr(vela, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="ethos-u-vela, tosa-tools") as caught:
        ExecutorchExporter().export(program, npu, tmp_path)
    assert "pip install 'edgetok[ethos-u]'" in caught.value.hint


def test_an_operator_without_a_kernel_is_found_without_loading_the_file():
    from types import SimpleNamespace

    from edgetok_exporters.executorch.trial import check_kernels

    def file_with(name, overload):
        plan = SimpleNamespace(operators=[SimpleNamespace(name=name, overload=overload)])
        return SimpleNamespace(executorch_program=SimpleNamespace(execution_plan=[plan]))

    check_kernels(file_with("aten::gather", "out"), "t")
    with pytest.raises(ExportFailed, match=r"aten::sort\.values"):
        check_kernels(file_with("aten::sort", "values"), "t")
