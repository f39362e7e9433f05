"""Packed weights in Core ML packages: constants of their own width, and right in the MIL interpreter."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from edgetok.errors import TargetRefuses
from edgetok.ops.packed import WIDTHS, row_bytes
from edgetok.testing.packed import PackedCase, PackedProducts, packed_inputs
from edgetok_exporters.coreml import CoreMLExporter, Options
from edgetok_exporters.coreml.packed import spread, unpack

CASES = [
    *(PackedCase(bits, zero=zero, stack=3) for bits, zero in product(WIDTHS, (True, False))),
    *(PackedCase(bits, 50, 16) for bits in WIDTHS),
    PackedCase(3, stack=4, shared=False),
]
LARGE = {"columns": 64, "group": 64, "stack": 8, "rows": 128}


@pytest.fixture(scope="module")
def captured(program):
    return program(PackedProducts(CASES), packed_inputs())


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp16", 2e-3), ("fp32", 2e-6)])
def test_every_width_computes_what_torch_does(captured, target, tmp_path, dtype, tolerance):
    options = Options(dtype=dtype)
    exported = CoreMLExporter().export(captured, target(), tmp_path, options=options)
    inputs = {name: value.numpy() for name, value in captured.example.items()}
    found = CoreMLExporter().load(exported.entry)(inputs)
    for value, reference in zip(found.values(), captured.exported.module()(**captured.example), strict=True):
        assert np.abs(value - reference.numpy()).max() < tolerance * reference.abs().max()


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_package_is_as_small_as_its_bits(program, target, tmp_path, bits):
    """Codes, scales and zero points, and no table for every group, as coremltools makes of scaled tables."""
    captured = program(PackedProducts([PackedCase(bits, **LARGE)]), packed_inputs())
    exported = CoreMLExporter().export(captured, target(), tmp_path)
    matrices = LARGE["stack"] * LARGE["rows"]
    arithmetic = matrices * (row_bytes(64, bits) + 3)
    assert exported.weights == pytest.approx(arithmetic, rel=0.03)
    size = sum(path.stat().st_size for path in exported.entry.rglob("*") if path.is_file())
    assert exported.weights < size < arithmetic + 12_000


def test_ios17_has_no_such_constants(program, target, tmp_path):
    captured = program(PackedProducts([PackedCase(3, stack=2)]), packed_inputs())
    with pytest.raises(TargetRefuses, match="3 bits"):
        CoreMLExporter().export(captured, target("coreml-ios17"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_blocks_are_equal():
    """Groups of 16 over 50 columns become blocks of 2, the last group one of them."""
    np.testing.assert_array_equal(spread(np.array([1, 2, 3, 4]), 50, 16), [1] * 8 + [2] * 8 + [3] * 8 + [4])
    np.testing.assert_array_equal(spread(np.array([[7], [8]]), 50, 64), [[7], [8]])


def test_unpacking_reads_the_stream_of_bits():
    np.testing.assert_array_equal(unpack(np.array([0b11_010_001, 0b1_100_011_0, 0], np.uint8), 3, 4), [1, 2, 3, 3])
