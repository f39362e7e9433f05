"""The exporter's options end to end: what the manifest says is what the file takes."""

from __future__ import annotations

import json

import onnx
import onnxruntime
import pytest
from safetensors.numpy import load_file

TIMED = {"bench": {"runs": 3, "batches": [1]}}


def options(**exporter):
    if not exporter:
        return "{}"  # the bundle of other tests
    return json.dumps({"parity": {"samples": 4}, "exporter": exporter} | (TIMED if "batch" in exporter else {}))


def interface(result):
    (component,) = result.bundle.manifest.components
    return {t.name: (t.dtype, t.shape) for t in (*component.inputs, *component.outputs)}


def onnx_interface(result):
    session = onnxruntime.InferenceSession(result.bundle.path / "model.onnx")
    types = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64"}
    return {v.name: (types[v.type], tuple(v.shape)) for v in (*session.get_inputs(), *session.get_outputs())}


FURTHER = pytest.param({"batch": 5}, marks=pytest.mark.exhaustive)
"""``test_eval.py`` has a batch above the samples too."""


@pytest.mark.parametrize(
    "exporter",
    [{}, {"batch": 3}, FURTHER, {"dtype": "fp16"}, {"dtype": "fp16", "io": "same"}],
    ids=["plain", "batch of 3", "batch above the samples", "fp16", "fp16 in and out"],
)
def test_the_manifest_says_what_the_file_takes(delivered, exporter, line):
    result = delivered("vit", "tome:r=4", options(**exporter))
    assert interface(result) == onnx_interface(result)
    assert result.report.parity.passed
    assert result.report.latency.batch == exporter.get("batch")
    vectors = load_file(result.bundle.path / "vectors.safetensors")
    assert {str(array.dtype) for name, array in vectors.items() if name.startswith("input.")} == {
        interface(result)["pixel_values"][0]
    }
    said = line("verify", result.bundle.path, "--json")
    assert said.status == 0, said.err


def test_a_static_batch_is_said(delivered, line):
    result = delivered("vit", "tome:r=4", options(batch=3))
    assert result.bundle.manifest.vectors.samples == 3
    assert any("batches of 3 only" in note for note in result.report.notes)
    assert result.report.parity.n == 6
    said = line("bench", result.bundle.path, "--json", "--runs", "3", "--batch", "1")
    assert said.status == 0, said.err
    assert said.json["timed"][0]["batch"] == 3


def test_fp16_is_half_as_large_and_held_to_its_own_tolerance(delivered):
    full, half = delivered("vit", "tome:r=4", options()), delivered("vit", "tome:r=4", options(dtype="fp16"))
    assert (
        half.bundle.entry(half.plan.component).stat().st_size
        < 0.75 * full.bundle.entry(full.plan.component).stat().st_size
    )
    assert (half.report.parity.dtype, half.report.target.dtype) == ("fp16", "fp16")
    assert half.report.parity.max_abs > full.report.parity.max_abs


def test_functions_are_kept_where_asked_for(delivered):
    kept = onnx.load(delivered("vit", "tome:r=4", options(functions="keep")).bundle.path / "model.onnx")
    inlined = onnx.load(delivered("vit", "tome:r=4", options()).bundle.path / "model.onnx")
    assert {f.domain for f in kept.functions} >= {"edgetok"}
    assert "edgetok" in {node.domain for node in kept.graph.node}
    assert "edgetok" not in {node.domain for node in inlined.graph.node}


def test_external_data_is_part_of_the_bundle(delivered, line):
    result = delivered("vit", "tome:r=4", options(external_data="always"))
    roles = {entry.path: entry.role for entry in result.bundle.manifest.files}
    assert (roles["model.onnx"], roles["model.onnx.data"]) == ("model", "weights")
    assert set(result.report.delivered.files) == {"model.onnx", "model.onnx.data"}
    assert line("verify", result.bundle.path).status == 0
    (result.bundle.path / "model.onnx.data").rename(result.bundle.path / "elsewhere")
    assert line("verify", result.bundle.path).status == 3


def test_an_input_without_a_batch_axis(tmp_path, tiny):
    """Its second input is the same for all samples."""
    import torch

    import edgetok

    module, inputs = tiny()

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, x, scale):
            return self.inner(x * scale.mean())

    result = edgetok.optimize(
        Scaled().eval(),
        {"x": inputs["x"], "scale": torch.ones(5)},
        plugins="tome:r=2",
        output=tmp_path / "out",
        bench={"runs": 3, "batches": [3]},
    )
    assert interface(result) == {
        "x": ("float32", ("batch", 12, 16)),
        "scale": ("float32", (5,)),
        "logits": ("float32", ("batch", 3)),
    }
    assert result.report.latency.batch == 3
    assert result.report.parity.n >= 8


def test_a_model_that_fixes_its_own_batch(tmp_path, tiny):
    import torch

    import edgetok

    module, inputs = tiny()

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, x):
            assert x.shape[0] == 4
            return self.inner(x.reshape(4, 12, 16))

    result = edgetok.optimize(
        Fixed().eval(), torch.cat([inputs["x"]] * 2), plugins="tome:r=2", output=tmp_path / "out", **TIMED
    )
    assert interface(result)["x"] == ("float32", (4, 12, 16))
    assert (result.report.latency.batch, result.report.parity.n) == (4, 8)
    assert any("batch is fixed" in note for note in result.report.notes)
