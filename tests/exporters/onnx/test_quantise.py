"""Every scheme of quantisation: the file runs, is close, is smaller, and decides as before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.fx import traceback
from torch.nn import functional as F

from edgetok.errors import ExportFailed, TargetRefuses
from edgetok.ops import bipartite_match, reduce
from edgetok.precision import Precision, TensorFormat
from edgetok_exporters.onnx import OnnxExporter, Options, save, toolchain
from edgetok_plugins.quantize.weights import formats

SCHEMES = ["fp16", "int8-weights", "int8-dynamic", "int8-static", "int4-weights", "int4-dynamic"]
LEAST_DB = {
    "fp16": 50,
    "int8-weights": 30,
    "int8-dynamic": 25,
    "int8-static": 20,
    "int4-weights": 12,
    "int4-dynamic": 12,
}
"""Signal over noise of a random network: 6 dB per bit, less what ranges waste; int4 has 7 steps to the largest."""


class Block(nn.Module):
    """Patches, a merge and an MLP: a convolution, three linear layers and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, 4, 4)
        self.keys = nn.Linear(64, 64)
        self.fc1 = nn.Linear(64, 128)
        self.fc2 = nn.Linear(128, 64)
        self.head = nn.Linear(64, 10)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor]:
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        k = self.keys(x)
        with traceback.annotate({"edgetok": {"module": "merge", "plugin": "tome", "site": "first"}}):
            keep, src, dst = bipartite_match(k, None, 4, 1)
            x = reduce(x, None, keep, src, dst, "mean")
        return (self.head((x + self.fc2(F.gelu(self.fc1(x)))).mean(1)),)


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def program(capture, pixels):
    torch.manual_seed(0)
    with traceback.preserve_node_meta():
        return capture(Block(), {"pixels": pixels})


@pytest.fixture
def quantised(program, pixels, here, tmp_path):
    """``quantised(scheme, **options)``: the runner, its file, and the file as ONNX."""

    def make(scheme, *, skip=(), given=None, expose=(), **options):
        found = formats(program, scheme.split("-")[0], 32, skip) if given is None else given
        batches = ({"pixels": pixels.numpy()},) if scheme.endswith("static") else ()
        declared = replace(program, precision=Precision(scheme, found, batches))
        target = here().model_copy(update={"precisions": tuple(SCHEMES)})
        made = OnnxExporter().export(declared, target, tmp_path, options=Options(**options), expose=expose)
        runner = OnnxExporter().load(made.entry, threads=1)
        return SimpleNamespace(runner=runner, exported=made, model=onnx.load(made.entry))

    return make


def reference(program, pixels):
    with torch.no_grad():
        return program.exported.module()(pixels=pixels)[0].numpy()


def decibels(found, expected):
    return 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum())


def counted(model):
    return Counter(node.op_type for node in model.graph.node)


def inserted(model):
    return Counter(n.op_type for n in model.graph.node if any(p.key == "edgetok.plugin" for p in n.metadata_props))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_runs_at_any_batch_and_is_close(quantised, program, pixels, scheme):
    runner = quantised(scheme).runner
    for batch in (1, 3):
        some = pixels[:batch]
        assert decibels(runner({"pixels": some.numpy()})["out0"], reference(program, some)) > LEAST_DB[scheme]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_are_stored_in_fewer_bits(quantised, program, scheme):
    model = quantised(scheme).model
    named = formats(program, scheme.split("-")[0], 32, ())
    dense = sum(program.exported.state_dict[name].nbytes for name in named)
    arrays = [onnx.numpy_helper.to_array(i) for i in model.graph.initializer]
    small = [a for a in arrays if a.dtype in (np.int8, np.uint8, np.float16) and a.ndim > 1]
    factor = {"fp16": 2, "int8": 4, "int4": 8}[scheme.split("-")[0]]
    assert sum(a.nbytes for a in small) == dense / factor
    assert not [a for a in arrays if a.dtype == np.float32 and a.size >= 64 * 64 and scheme.startswith("int8")]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_a_plugin_inserted_is_left_alone(quantised, program, trip, scheme):
    trip(program)
    before = inserted(onnx.load(trip.exported.entry))
    after = inserted(quantised(scheme).model)
    assert before["TopK"]
    assert after == before


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_program_gives_the_same_bytes(quantised, scheme):
    first = quantised(scheme).exported.entry.read_bytes()
    assert quantised(scheme).exported.entry.read_bytes() == first
    assert b"/tmp" not in first


@pytest.mark.parametrize("scheme", ["int8-weights", "int8-dynamic", "int8-static", "int4-weights"])
def test_a_check_build_is_quantised_the_same_way(quantised, program, pixels, scheme):
    decision = next(n.name for n in program.graph.nodes if "bipartite_match" in str(n.target))
    plain, check = quantised(scheme).runner, quantised(scheme, expose=[decision])
    values = check.runner({"pixels": pixels.numpy()})
    assert [values[name].dtype for name in check.exported.exposed[decision]] == [np.int64] * 3
    np.testing.assert_array_equal(values["out0"], plain({"pixels": pixels.numpy()})["out0"])


def test_unnamed_weights_stay(quantised, program):
    model = quantised("int8-dynamic", skip=("head", "patches")).model
    floats = {i.name for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT}
    assert {"head.weight", "patches.weight"} <= floats
    assert not {"keys.weight", "fc1.weight"} & floats


def test_what_is_behind_a_gelu_keeps_floating_activations(quantised, program, pixels):
    """One range for such a tensor costs most of the accuracy; its weight is stored in int8 all the same."""
    kept, fast = quantised("int8-dynamic").model, quantised("int8-dynamic", after_gelu="int8").model
    assert (counted(kept)["MatMulInteger"], counted(fast)["MatMulInteger"]) == (3, 4)
    read = {node.input[0] for node in kept.graph.node if node.op_type == "DequantizeLinear"}
    assert "fc2.weight.T.int8" in read


@pytest.mark.parametrize("opset", [18, 20])
def test_a_gelu_is_seen_in_every_opset(quantised, opset):
    assert counted(quantised("int8-dynamic", opset=opset).model)["MatMulInteger"] == 3


def test_int4_blocks_are_an_operator_of_onnxruntimes_domain(quantised):
    """``MatMulNBits`` is in no standard opset: without its domain a file does not load."""
    floating, integer = quantised("int4-weights").model, quantised("int4-dynamic").model
    assert {entry.domain for entry in floating.opset_import} == {"", "com.microsoft"}
    levels = [
        {a.name: a.i for a in n.attribute}
        for m in (floating, integer)
        for n in m.graph.node
        if n.op_type == "MatMulNBits"
    ]
    assert [found["bits"] for found in levels] == [4] * 8
    assert {found["block_size"] for found in levels} == {32}
    assert [found.get("accuracy_level") for found in levels] == [None] * 4 + [4] * 4


def test_static_ranges_are_pairs_around_products(quantised):
    found = counted(quantised("int8-static").model)
    assert found["MatMul"] >= 4
    assert found["QuantizeLinear"] >= 4
    assert not found["MatMulInteger"]


@pytest.mark.parametrize("scheme", ["fp16", "int8-weights", "int4-weights"])
def test_weights_alone_go_with_fp16(quantised, program, pixels, scheme):
    runner = quantised(scheme, dtype="fp16").runner
    assert decibels(runner({"pixels": pixels.numpy()})["out0"], reference(program, pixels)) > LEAST_DB[scheme] - 6


@pytest.mark.parametrize("scheme", ["int8-dynamic", "int8-static", "int4-weights"])
def test_weights_beyond_one_message_go_through_files_too(quantised, pixels, monkeypatch, scheme):
    once = quantised(scheme).runner({"pixels": pixels.numpy()})["out0"]
    for module in (save, toolchain):
        monkeypatch.setattr(module, "INLINE_LIMIT", 1000)
    apart = quantised(scheme)
    assert [path.name for path in apart.exported.files] == ["model.onnx", "model.onnx.data"]
    np.testing.assert_array_equal(apart.runner({"pixels": pixels.numpy()})["out0"], once)


def test_functions_may_be_kept(quantised, pixels):
    inline = quantised("int8-dynamic").runner({"pixels": pixels.numpy()})["out0"]
    made = quantised("int8-dynamic", functions="keep")
    assert "bipartite_match" in counted(made.model)
    np.testing.assert_array_equal(made.runner({"pixels": pixels.numpy()})["out0"], inline)


REFUSED = {
    "no quantised model": ("int8-dynamic", {"head.weight": TensorFormat("int8")}, {}, ()),
    "fp32": ("int8-dynamic", {"head.weight": TensorFormat("int8")}, {"dtype": "fp16"}, ("int8-dynamic",)),
    "power of 2": ("int4-weights", {"head.weight": TensorFormat("int4", "group", 48)}, {}, ("int4-weights",)),
    "one size": (
        "int4-weights",
        {"head.weight": TensorFormat("int4", "group", 32), "fc1.weight": TensorFormat("int4", "group", 64)},
        {},
        ("int4-weights",),
    ),
    "calibration": ("int8-static", {"head.weight": TensorFormat("int8")}, {}, ("int8-static",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_target_does_not_run_is_refused(program, here, tmp_path, case):
    scheme, weights, options, listed = REFUSED[case]
    target = here().model_copy(update={"precisions": listed})
    declared = replace(program, precision=Precision(scheme, weights))
    with pytest.raises(TargetRefuses) as caught:
        OnnxExporter().export(declared, target, tmp_path, options=Options(**options))
    assert case in caught.value.why
    assert not list(tmp_path.iterdir())


def test_a_weight_that_something_else_reads_is_no_silent_loss(capture, here, tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(32, 32)

        def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor]:
            return (F.linear(self.table(ids), self.table.weight),)

    program = capture(Tied(), {"ids": torch.zeros(2, 3, dtype=torch.long)})
    target = here().model_copy(update={"precisions": ("int8-weights",)})
    declared = replace(program, precision=Precision("int8-weights", {"table.weight": TensorFormat("int8")}))
    with pytest.raises(ExportFailed, match=r"table\.weight") as caught:
        OnnxExporter().export(declared, target, tmp_path)
    assert "Gather" in caught.value.why
