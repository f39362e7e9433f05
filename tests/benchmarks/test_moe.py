"""What is packed once is packed again where anything that it depends on is another; files are made as targets say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgetok_exporters.onnx import Options


@pytest.fixture
def moe(benchmark):
    return benchmark("_moe")


def test_nothing_packed_otherwise_is_taken_for_it(moe, tmp_path, monkeypatch):
    shape = moe.Shape("m", layers=2, hidden=64, inner=128, group=64)
    shapes = [shape, replace(shape, inner=256), replace(shape, group=32), replace(shape, layers=3)]
    found = [moe.packed_directory(each, bits, tmp_path) for each in shapes for bits in (2.0, 2.5)]
    monkeypatch.setattr(moe, "commit", lambda: "another")
    found += [moe.packed_directory(shape, 2.0, tmp_path)]
    assert len(set(found)) == len(found) == 9
    assert moe.packed_directory(shape, 2.0, tmp_path) == found[-1]


def test_speed_is_measured_with_the_options_of_the_target(benchmark, monkeypatch):
    pytest.importorskip("onnxruntime")
    speed = benchmark("moe_speed")
    monkeypatch.setattr(speed, "TARGET", speed.TARGET.model_copy(update={"options": {"opset": 21}}))
    made = {name: options for name, _, options in speed.variants({"dense": None, "packed": None})}
    assert made["dense"] == made["packed"] == Options(opset=21)
    assert made["packed, int8"] == Options(opset=21, packed_activations="int8")
