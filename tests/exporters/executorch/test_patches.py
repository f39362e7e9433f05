"""Patches of videos as a matrix product: what the convolution computes, and which convolutions are left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgetok.precision import Precision
from edgetok_exporters.executorch import ExecutorchExporter, Options
from edgetok_exporters.executorch.patches import patches
from edgetok_plugins.quantize.weights import formats


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


class Video(nn.Module):
    """Patches that span two frames, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv3d(3, 64, (2, 8, 8), (2, 8, 8))
        self.head = nn.Linear(64, 8)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.head(self.embed(pixels).flatten(2).transpose(1, 2)),)


@pytest.mark.parametrize(("scheme", "least"), [(None, 100), ("int8-dynamic", 30), ("int8-static", 30)])
def test_a_videos_file_loads_and_computes_the_same(tmp_path, capture, target, scheme, least):
    """The wheel's runtime has no kernel for a convolution over three axes."""
    torch.manual_seed(0)
    program = capture(Video(), {"pixels": drawn(2, 3, 4, 16, 16)})
    given = {"pixels": program.example["pixels"].numpy()}
    if scheme:
        precision = Precision(scheme, formats(program, "int8", 32, ()), [given] if scheme.endswith("static") else [])
        program = replace(program, precision=precision)
    exporter = ExecutorchExporter()
    exported = exporter.export(program, target, tmp_path, options=Options(batch=2))
    found = torch.from_numpy(exporter.load(exported.entry, threads=1)(given)["out0"])
    with torch.no_grad():
        (expected,) = program.exported.module()(**program.example)
    decibel = float(10 * (expected.square().sum() / (found - expected).square().sum()).log10())
    assert least <= decibel
    assert scheme is None or decibel < 80, "nothing was quantised"
