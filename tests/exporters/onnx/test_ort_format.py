"""onnxruntime's own format: the same values, from a file that needs no ONNX parser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgetok.errors import RuntimeFailed
from edgetok.ops import bipartite_match, reduce
from edgetok_exporters.onnx import OnnxExporter


class Merging(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        y = self.embed(x)
        keep, src, dst = bipartite_match(y, None, 3, 1)
        return (reduce(y, None, keep, src, dst, "mean"),)


@pytest.fixture
def program(capture):
    return capture(Merging(), {"x": torch.randn(2, 11, 6)})


@pytest.mark.parametrize("settings", [{}, {"dtype": "fp16"}, {"functions": "keep"}], ids=str)
def test_it_gives_the_values_of_the_onnx_file(trip, program, settings):
    x = {"x": torch.randn(3, 11, 6).numpy()}
    expected = trip(program, **settings)(x)["out0"]
    runner = trip(program, format="ort", **settings)
    assert [path.name for path in trip.exported.files] == ["model.ort"]
    assert trip.exported.entry.read_bytes()[4:8] == b"ORTM"
    np.testing.assert_allclose(runner(x)["out0"], expected, rtol=0, atol=2e-3 if settings.get("dtype") else 1e-6)


def test_the_same_program_gives_the_same_size_and_values(trip, program):
    """Not the same bytes: onnxruntime writes one of its tables in the order of a hash map."""
    x = {"x": torch.randn(3, 11, 6).numpy()}
    first = trip(program, format="ort")
    size = trip.exported.entry.stat().st_size
    second = trip(program, format="ort")
    assert trip.exported.entry.stat().st_size == size
    np.testing.assert_array_equal(first(x)["out0"], second(x)["out0"])


def test_a_check_build_has_its_outputs(trip, program):
    decision = next(n.name for n in program.graph.nodes if "bipartite_match" in str(n.target))
    runner = trip(program, format="ort", expose=[decision])
    assert runner.output_names == ("out0", *trip.exported.exposed[decision])


def test_a_truncated_file_is_an_error(trip, program):
    trip(program, format="ort")
    entry = trip.exported.entry
    entry.write_bytes(entry.read_bytes()[:-200])
    with pytest.raises(RuntimeFailed, match=r"model\.ort"):
        OnnxExporter().load(entry)
