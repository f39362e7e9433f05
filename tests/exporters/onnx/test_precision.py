"""fp16 files run in onnxruntime on a CPU, stay close, and decide in fp32."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch.nn import functional as F

from edgetok.ops import bipartite_match, reduce

CHOICES = [{}, {"match": "sort-free", "reduce": "one-hot"}, {"functions": "keep"}]


def merging(x, scale):
    k = (x * scale).view(x.shape[0], 14, 2, 8).transpose(1, 2)
    keep, src, dst = bipartite_match(k.mean(1), None, 4, 1)
    sizes = reduce(torch.ones_like(x[..., :1]), None, keep, src, dst, "sum").squeeze(-1)
    y = reduce(x, None, keep, src, dst, "mean")
    heads = y.view(x.shape[0], 10, 2, 8).transpose(1, 2)
    y = y + F.scaled_dot_product_attention(heads, heads, heads, sizes.log()[:, None, None]).transpose(1, 2).flatten(2)
    keep, src, dst = bipartite_match(y, sizes, 3, 1)
    return (reduce(y, sizes, keep, src, dst, "mean"),)


@pytest.fixture
def example():
    generator = torch.Generator().manual_seed(3)
    return {"x": torch.randn(2, 14, 16, generator=generator), "scale": torch.full((2, 1, 1), 0.5)}


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_fp16_runs_and_is_close(capture, trip, agree, example, choice):
    program = capture(merging, example)
    runner = trip(program, dtype="fp16", **choice)
    agree(runner, program, example, atol=2e-2)
    assert {o.type for o in runner.session.get_outputs()} == {"tensor(float)"}


def test_io_may_be_fp16_too(capture, trip, example):
    runner = trip(capture(merging, example), dtype="fp16", io="same")
    assert {v.type for v in (*runner.session.get_inputs(), *runner.session.get_outputs())} == {"tensor(float16)"}
    runner({name: value.half().numpy() for name, value in example.items()})


def test_weights_are_halved_and_stay_finite(capture, trip, agree):
    layer = torch.nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight[0, 0] = 1e6

    class Tupled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return (self.layer(x),)

    trip(capture(Tupled(), {"x": torch.randn(2, 4)}), dtype="fp16")
    weights = [onnx.numpy_helper.to_array(i) for i in onnx.load(trip.exported.entry).graph.initializer]
    assert {w.dtype.name for w in weights} == {"float16"}
    assert max(abs(w).max() for w in weights) == 65504


def test_a_sum_of_sizes_by_scatter(capture, trip, agree):
    """onnxruntime refuses an adding fp16 scatter on a CPU; sizes are added in fp32."""

    def sizes_of(x, keep, src, dst):
        return (reduce(x, None, keep, src, dst, "sum"),)

    one = torch.tensor([[0, 2, 3], [0, 1, 3]])
    example = {"x": torch.tensor([[[1.0], [2], [3], [4]], [[5], [6], [7], [8]]]), "keep": one}
    example |= {"src": torch.tensor([[1], [2]]), "dst": torch.tensor([[1], [0]])}
    program = capture(sizes_of, example)
    agree(trip(program, dtype="fp16"), program, example)
    assert "ScatterElements" in {n.op_type for n in onnx.load(trip.exported.entry).graph.node}


def test_a_models_own_scatter_add(capture, trip, agree):
    def scatter(x, index):
        return (x.scatter_add(1, index, x * 2),)

    example = {"x": torch.randint(0, 9, (2, 5)).float(), "index": torch.randint(0, 5, (2, 5))}
    program = capture(scatter, example)
    agree(trip(program, dtype="fp16"), program, example)
