"""Patches of videos as a matrix product: what the convolution computes, and which convolutions are left alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edgetok_exporters.executorch.patches import patches


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(4, 9, 8), (5, 10, 9)])
@pytest.mark.parametrize("bias", [None, drawn(7)])
def test_it_is_the_convolution(size, bias):
    x, weight = drawn(2, 3, *size), drawn(7, 3, 2, 3, 4)
    found, want = patches(x, weight, bias, (2, 3, 4)), F.conv3d(x, weight, bias, (2, 3, 4))
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"stride": 1}, {"stride": 2, "padding": 1}, {"stride": 2, "dilation": 2}, {"stride": 2, "groups": 3}]
)
def test_patches_that_overlap_are_left_alone(options):
    weight = drawn(3, 1 if "groups" in options else 3, 2, 2, 2)
    assert patches(drawn(1, 3, 4, 4, 4), weight, None, **options) is NotImplemented
