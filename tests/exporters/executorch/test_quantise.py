"""Formats a program declares, fulfilled; the matching is never quantised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgetok.errors import TargetRefuses
from edgetok.precision import Precision, TensorFormat
from edgetok_exporters.executorch.quantise import batches

LEAST_DB = {"int8-dynamic": 30, "int8-static": 25, "int4-dynamic": 12}
"""Signal to noise, in dB, that each scheme must at least reach; a broken scale is below 5."""


@pytest.mark.parametrize("scheme", LEAST_DB)
def test_a_scheme_computes_nearly_the_same(quantised, scheme):
    made = quantised(scheme)
    expected = made.expected()[0]
    error = torch.from_numpy(made.outputs()["out0"]) - expected
    decibel = float(10 * (expected.square().sum() / error.square().sum()).log10())
    assert LEAST_DB[scheme] <= decibel < 80, "as exact as fp32: nothing was quantised"
    assert made.exported.delegation.partitions >= 1


def test_the_matching_stays_in_floating_point(quantised, program, target):
    """Sizes are whole numbers: one quantised step in the matching would make fractions of them."""
    made = quantised("int8-static")
    sizes = np.exp(made.outputs()["out1"])
    np.testing.assert_allclose(sizes, sizes.round(), rtol=0, atol=1e-5)
    assert sizes.sum() == pytest.approx(2 * 15, abs=1e-4)


def test_what_the_target_does_not_list_is_refused(make):
    with pytest.raises(TargetRefuses, match="int8-weights"):
        make(Precision("int8-weights", {"head.weight": TensorFormat("int8")}))


def test_groups_that_xnnpack_cannot_run_are_refused(make):
    with pytest.raises(TargetRefuses) as caught:
        make(Precision("int4-dynamic", {"head.weight": TensorFormat("int4", "group", 16)}))
    assert "32" in caught.value.hint


def test_calibration_comes_in_the_files_batch_size():
    example = {"x": torch.zeros(4, 3)}
    given = [{"x": np.arange(18, dtype=np.float32).reshape(6, 3)}, {"x": np.ones((1, 3), np.float32)}]
    found = [batch["x"] for batch in batches(Precision("int8-static", {}, given), example)]
    assert [tuple(batch.shape) for batch in found] == [(4, 3)] * 3
    assert torch.equal(found[1][:2], found[1][2:])
    assert torch.equal(found[2], torch.ones(4, 3))
