"""Packages are not trusted: whatever is in one, the answer is an error that says so."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil import MilRunner

X = np.ones((1, 64), np.float32)


@pytest.fixture(scope="module")
def sound(write, tmp_path_factory):
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).numpy()
    path = tmp_path_factory.mktemp("package") / "sound.mlpackage"
    write(path, {"x": torch.zeros(1, 64)}, lambda mb, v: mb.linear(x=v["x"], weight=weight, name="y"))
    assert np.isfinite(MilRunner(path)({"x": X})["y"]).all()
    return path


@pytest.fixture
def package(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "broken.mlpackage")


def model_of(package):
    return package / "Data" / "com.apple.CoreML" / "model.mlmodel"


def weights_of(package):
    return package / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"


def rewrite(package, change):
    from coremltools.proto import Model_pb2

    spec = Model_pb2.Model()
    spec.ParseFromString(model_of(package).read_bytes())
    change(spec)
    model_of(package).write_bytes(spec.SerializeToString())


def block_of(spec):
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def weight_of(spec):
    (found,) = [
        op.attributes["val"]
        for op in block_of(spec).operations
        if op.type == "const" and op.attributes["val"].type.tensorType.rank == 2
    ]
    return found


def refused(package, why):
    with pytest.raises(RuntimeFailed) as caught:
        MilRunner(package)({"x": X})
    assert why in f"{caught.value.what} {caught.value.why}"


def test_what_is_no_directory(tmp_path):
    refused(tmp_path / "absent.mlpackage", "Manifest.json")
    (tmp_path / "file.mlpackage").write_bytes(b"x")
    refused(tmp_path / "file.mlpackage", "Manifest.json")


def test_a_foreign_directory(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing")
    refused(tmp_path, "Manifest.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"rootModelIdentifier": "a", "itemInfoEntries": []}'])
def test_a_broken_manifest(package, text):
    (package / "Manifest.json").write_text(text)
    refused(package, "Manifest.json")


@pytest.mark.parametrize("path", ["../../x", "/etc/hostname", "com.apple.CoreML/absent", "."])
def test_a_manifest_that_points_elsewhere(package, path):
    manifest = json.loads((package / "Manifest.json").read_text())
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = path
    (package / "Manifest.json").write_text(json.dumps(manifest))
    refused(package, "not in it")


def test_a_link_out_of_the_package(package, tmp_path):
    outside = tmp_path / "outside.bin"
    shutil.move(weights_of(package), outside)
    weights_of(package).symlink_to(outside)
    refused(package, "outside itself")


@pytest.mark.parametrize(
    "name", ["@model_path/../../../secret", "/etc/hostname", "weights/weight.bin", "@model_path/weights/../../../x"]
)
def test_weights_outside_the_package(package, name):
    rewrite(package, lambda spec: setattr(weight_of(spec).blobFileValue, "fileName", name))
    refused(package, "outside itself")


def test_missing_weights(package):
    weights_of(package).unlink()
    refused(package, "missing")


@pytest.mark.parametrize("keep", [0, 40, 70, 128, 1000])
def test_truncated_weights(package, keep):
    weights_of(package).write_bytes(weights_of(package).read_bytes()[:keep])
    refused(package, "weight")


@pytest.mark.parametrize("offset", [1, 2**40, 2**63])
def test_an_offset_that_holds_no_weight(package, offset):
    rewrite(package, lambda spec: setattr(weight_of(spec).blobFileValue, "offset", offset))
    refused(package, "weight")


def test_a_weight_declared_larger_than_it_is(package):
    def grow(spec):
        weight_of(spec).type.tensorType.dimensions[0].constant.size = 10**6

    rewrite(package, grow)
    refused(package, "has only")


def test_an_absurd_shape_is_refused_before_it_is_allocated(package):
    def grow(spec):
        block_of(spec).operations[-1].outputs[0].type.tensorType.dimensions[0].constant.size = 2**40

    rewrite(package, grow)
    refused(package, "shape")


def test_an_unknown_operation_is_named(package):
    rewrite(package, lambda spec: setattr(block_of(spec).operations[-1], "type", "frobnicate"))
    refused(package, "frobnicate")


def test_another_kind_of_model(package):
    rewrite(package, lambda spec: spec.ClearField("mlProgram"))
    refused(package, "no ML program")


def test_a_value_that_is_never_made(package):
    rewrite(package, lambda spec: block_of(spec).operations.pop(0))
    refused(package, "before it is made")


def test_an_output_that_is_never_made(package):
    rewrite(package, lambda spec: block_of(spec).outputs.__setitem__(0, "nowhere"))
    refused(package, "nowhere")


def test_an_unknown_data_type(package):
    def change(spec):
        block_of(spec).operations[-1].outputs[0].type.tensorType.dataType = 13

    rewrite(package, change)
    refused(package, "data type 13")


def test_a_truncated_model(package):
    whole = model_of(package).read_bytes()
    for keep in (0, 1, len(whole) // 2, len(whole) - 1):
        model_of(package).write_bytes(whole[:keep])
        refused(package, "")


@settings(max_examples=200)
@given(st.data())
def test_any_changed_byte_is_an_error_or_another_answer(sound, tmp_path_factory, data):
    package = shutil.copytree(sound, tmp_path_factory.mktemp("fuzz") / "fuzz.mlpackage")
    content = bytearray(model_of(package).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    model_of(package).write_bytes(bytes(content))
    with suppress(RuntimeFailed):
        MilRunner(package)({"x": X})
