"""Packed weights in ONNX files: packed on disk, right in onnxruntime, native where its kernels know the width."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import onnx
import onnxruntime
import pytest

from edgetok.errors import TargetRefuses
from edgetok.ops.packed import WIDTHS, row_bytes
from edgetok.registry import installed
from edgetok.target import PackedSupport, PackedWidths
from edgetok.testing.packed import PackedCase, PackedProducts, packed_inputs
from edgetok_exporters.onnx import OnnxExporter, Options

NATIVE = PackedSupport(native=(2, 4, 8), widened={1: 2, 3: 4}, others="load")
ROUNDED = PackedWidths(native=(2, 4, 8), widened={1: 2, 3: 4}, others="load")
WIDENED = PackedSupport(native=(4,), widened={1: 4, 2: 4, 3: 4}, others="load")
SHAPES = [(64, 32), (96, 96), (50, 16)]
"""Columns and group: whole blocks; a group of several blocks; a last block that is filled up."""
CASES = [
    *(PackedCase(bits, *shape) for bits, shape in product(WIDTHS, SHAPES)),
    *(PackedCase(bits, *shape, stack=4, shared=False) for bits, shape in product(WIDTHS, SHAPES)),
    *(PackedCase(bits, zero=False, stack=3) for bits in WIDTHS),
]


@pytest.fixture(scope="module")
def inputs():
    return packed_inputs()


def export(capture, here, inputs, directory, cases, support, **options):
    program = capture(PackedProducts(cases), inputs, dynamic=False)
    target = here().model_copy(update={"packed": support})
    exported = OnnxExporter().export(program, target, directory, options=Options(**options))
    return program, exported.entry


def check(program, entry, inputs, tolerance):
    """onnxruntime against torch; the tolerance is a share of each output's largest value."""
    found = OnnxExporter().load(entry, threads=1)({name: value.numpy() for name, value in inputs.items()})
    for value, reference in zip(found.values(), program.exported.module()(**inputs), strict=True):
        assert value.shape == tuple(reference.shape)
        assert np.abs(value - reference.numpy()).max() < tolerance * reference.abs().max()


@pytest.mark.parametrize("form", ["native", "widened", "standard", "kept"])
def test_every_width_computes_what_torch_does(capture, here, inputs, tmp_path, form):
    support = {"native": NATIVE, "widened": WIDENED}.get(form, PackedSupport())
    functions = "keep" if form == "kept" else "inline"
    program, entry = export(capture, here, inputs, tmp_path, CASES, support, functions=functions)
    check(program, entry, inputs, 2e-6)
    kinds = Counter(node.op_type for node in onnx.load(entry).graph.node)
    assert bool(kinds["MatMulNBits"]) is (form in ("native", "widened"))
    assert bool(kinds["packed_matmul"]) is (form == "kept")
    if form == "native":
        assert not kinds["MatMul"]


def test_half_precision(capture, here, inputs, tmp_path):
    cases = [PackedCase(bits, stack=stack) for bits, stack in product(WIDTHS, (0, 3))]
    program, entry = export(capture, here, inputs, tmp_path, cases, NATIVE, dtype="fp16")
    check(program, entry, inputs, 2e-3)


def test_inputs_are_rounded_where_that_is_asked_for(capture, here, inputs, tmp_path):
    """A step of 8 bits is 1/40 of normal values' spread, its error 1/140; kernels that cannot compute as they do."""
    support = WIDENED.model_copy(update={"rounded": ROUNDED})
    program, entry = export(capture, here, inputs, tmp_path, CASES, support, packed_activations="int8")
    found = OnnxExporter().load(entry, threads=1)({name: value.numpy() for name, value in inputs.items()})
    pairs = zip(found.values(), program.exported.module()(**inputs), strict=True)
    errors = [float(np.linalg.norm(value - reference.numpy()) / reference.norm()) for value, reference in pairs]
    assert max(errors) < 1.5e-2
    assert sum(error > 1e-3 for error in errors) > len(CASES) / 2
    products = [node for node in onnx.load(entry).graph.node if node.op_type == "MatMulNBits"]
    attributes = [{each.name: each.i for each in node.attribute} for node in products]
    assert {each["accuracy_level"] for each in attributes} == {4}
    assert {each["bits"] for each in attributes} == {2, 4, 8}


@pytest.mark.parametrize(
    ("case", "rounded"), [(PackedCase(4, 40, 8), ROUNDED), (PackedCase(4), None)], ids=["groups", "target"]
)
def test_rounding_that_would_change_nothing_is_refused(capture, here, inputs, tmp_path, case, rounded):
    """An fp32 file would be judged by the bounds of int8."""
    support = WIDENED.model_copy(update={"rounded": rounded})
    with pytest.raises(TargetRefuses, match="No kernel rounds") as refused:
        export(capture, here, inputs, tmp_path, [case], support, packed_activations="int8")
    assert "packed_activations" in refused.value.hint
    assert not list(tmp_path.iterdir())


def test_groups_that_no_kernel_takes_are_written_in_standard_operators(capture, here, inputs, tmp_path):
    cases = [PackedCase(4, 40, 8), PackedCase(4, 48, 24, zero=False)]
    program, entry = export(capture, here, inputs, tmp_path, cases, NATIVE)
    check(program, entry, inputs, 2e-6)
    assert "MatMulNBits" not in {node.op_type for node in onnx.load(entry).graph.node}


@pytest.mark.parametrize("support", [NATIVE, PackedSupport()], ids=["native", "standard"])
@pytest.mark.parametrize("bits", WIDTHS)
def test_the_file_holds_the_bytes_and_no_more(capture, here, inputs, tmp_path, bits, support):
    program, entry = export(capture, here, inputs, tmp_path, [PackedCase(bits, stack=4)], support)
    stored = {each.name: len(each.raw_data) for each in onnx.load(entry).graph.initializer}
    given = {name: tensor.numel() * tensor.element_size() for name, tensor in program.exported.state_dict.items()}
    assert stored["codes0"] == 4 * 12 * row_bytes(64, bits)
    assert all(stored[name] <= size for name, size in given.items())
    assert sum(stored.values()) <= sum(given.values()) + 2048


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_kernel_of_onnxruntime_takes_these_widths_and_no_others(bits):
    """What the target onnx-cpu goes by; a new version that learns a width shall be noticed."""
    tensor, make = onnx.TensorProto, onnx.helper.make_tensor_value_info
    weights = [
        onnx.numpy_helper.from_array(np.zeros((8, 1, 4 * bits), np.uint8), "w"),
        onnx.numpy_helper.from_array(np.ones((8, 1), np.float32), "s"),
    ]
    attributes = {"domain": "com.microsoft", "K": 32, "N": 8, "bits": bits, "block_size": 32}
    node = onnx.helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], **attributes)
    ends = [make("x", tensor.FLOAT, [1, 32])], [make("y", tensor.FLOAT, [1, 8])]
    graph = onnx.helper.make_graph([node], "g", *ends, weights)
    imports = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("com.microsoft", 1)]
    file = onnx.helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        ran = session.run(None, {"x": np.ones((1, 32), np.float32)})[0].shape == (1, 8)
    except Exception:  # its own exception class changes between versions
        ran = False
    assert ran is (bits in (2, 4, 8))
    assert ran or bits not in installed().target("onnx-cpu").packed.native
