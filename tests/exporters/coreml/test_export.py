from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from edgetok.errors import ExportFailed, RuntimeFailed, TargetRefuses
from edgetok.verify.mil import MilRunner, open_package


@pytest.fixture(scope="module")
def small(program):
    torch.manual_seed(0)
    return program(nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 4)), {"input": torch.randn(1, 16)})


@pytest.fixture(scope="module")
def whole(merged, target, package):
    """The merged encoder for the Neural Engine, with one exposed merge."""
    found = merged("short_encoder")
    node = next(n for n in found.graph.nodes if "edgetok.reduce" in str(n.target) and "mean" in n.args)
    return package(found, target(), expose=[node.name], batch=2), node


def test_fp32_is_the_program_to_rounding(merged, target, package, difference):
    found = merged("short_bert")
    made = package(found, target("coreml-gpu"), batch=2)
    assert difference(made.entry, found, batch=2) < 1e-5


def test_fp16_is_close(merged, whole, difference):
    assert 0 < difference(whole[0].entry, merged("short_encoder"), batch=2) < 5e-3


def test_names_and_types_are_the_programs(merged, whole):
    spec = open_package(whole[0].entry).spec.description
    found = merged("short_encoder")
    assert [item.name for item in spec.input] == [item.name for item in found.inputs]
    assert [item.name for item in spec.output][: len(found.outputs)] == [item.name for item in found.outputs]
    half = 65552
    assert {item.type.multiArrayType.dataType for item in (*spec.input, *spec.output)} == {half}


def test_an_exposed_node_is_an_output(merged, whole):
    made, node = whole
    inputs = {name: value.numpy() for name, value in merged("short_encoder").example.items()}
    found = MilRunner(made.entry)(inputs)
    (name,) = made.exposed[node.name]
    assert found[name].shape[1:] == tuple(node.meta["val"].shape[1:])


def test_the_package_takes_its_one_batch(merged, whole):
    inputs = {name: value[:1].numpy() for name, value in merged("short_encoder").example.items()}
    with pytest.raises(RuntimeFailed, match="another shape"):
        MilRunner(whole[0].entry)(inputs)


def test_the_same_program_is_the_same_bytes(small, target, package):
    def digests():
        made = package(small, target())
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in made.files if path.is_file()]

    assert digests() == digests()


def test_nothing_but_the_package_is_written(small, target, package):
    made = package(small, target())
    assert {path.name for path in made.files} == {"model.mlpackage", "Manifest.json", "model.mlmodel", "weight.bin"}
    assert set(made.entry.parent.rglob("*")) - {p for p in made.entry.rglob("*") if p.is_dir()} == set(made.files)


def test_fp32_inputs_around_fp16(small, target, package, difference):
    made = package(small, target(), io="fp32")
    assert MilRunner(made.entry)({"input": small.example["input"].numpy()})["out0"].dtype == np.float32
    assert difference(made.entry, small) < 5e-3


def test_further_batches_are_functions_over_one_set_of_weights(merged, whole, target, package, difference):
    found = merged("short_encoder")
    made = package(found, target(), batches=(2,))
    one, two = (MilRunner(made.entry, function=f"batch_{n}").function.inputs[0].shape[0] for n in (1, 2))
    assert (one, two) == (1, 2)
    assert difference(made.entry, found) < 5e-3
    size = {path.name: path.stat().st_size for path in made.files}["weight.bin"]
    assert size < 1.5 * {path.name: path.stat().st_size for path in whole[0].files}["weight.bin"]


def test_ios_17_has_no_functions(small, target, package):
    with pytest.raises(TargetRefuses, match="one function"):
        package(small, target("coreml-ios17"), batches=(2,))


def test_a_dtype_that_the_target_lacks_is_refused(small, target, package):
    with pytest.raises(TargetRefuses, match="fp32"):
        package(small, target().model_copy(update={"dtypes": ("fp16",)}), dtype="fp32")


@pytest.mark.parametrize("stem", ["", "..", "a/b"])
def test_a_stem_is_a_file_name(small, target, tmp_path, stem):
    from edgetok_exporters.coreml import CoreMLExporter

    with pytest.raises(ExportFailed, match="file name"):
        CoreMLExporter().export(small, target(), tmp_path, stem=stem)


def test_a_batch_named_twice_is_refused(small, target, package):
    with pytest.raises(ExportFailed, match="twice"):
        package(small, target(), batches=(1,))


def test_enumerated_shapes_are_refused_with_what_takes_their_place(small, target, package, monkeypatch):
    monkeypatch.setattr("edgetok_exporters.coreml.export.to_model", lambda *_: pytest.fail("it was lowered"))
    with pytest.raises(TargetRefuses, match="enumerated") as caught:
        package(small, target(), shapes="enumerated")
    assert "batches" in caught.value.hint


def test_a_cache_is_an_input_and_an_output(program, target, package):
    """What a state would be: after each step the app passes back what it got."""

    def step(x, cache):
        cache = torch.cat([cache[:, 1:], x], 1)
        return torch.softmax(x @ cache.mT, -1) @ cache, cache

    cache = torch.zeros(1, 4, 8)
    made = package(program(step, {"x": torch.randn(1, 1, 8), "cache": cache}), target("coreml-gpu"))
    runner, kept = MilRunner(made.entry), cache.numpy()
    for _ in range(3):
        x = torch.randn(1, 1, 8)
        want, cache = step(x, cache)
        found = runner({"x": x.numpy(), "cache": kept})
        kept = found["out1"]
        np.testing.assert_allclose(found["out0"], want.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(kept, cache.numpy())
