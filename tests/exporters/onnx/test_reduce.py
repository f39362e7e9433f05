"""Merging in onnxruntime is merging in torch: modes, sizes, realisations, many sources to one destination."""

from __future__ import annotations

import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetok.ops import bipartite_match, reduce

KEEP = torch.tensor([[0, 2, 5, 1, 3, 6]])
SRC = torch.tensor([[4, 7, 8]])


def case(batch: int, c: int, dst: list[int], seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "x": torch.randn(batch, 9, c, generator=generator),
        "sizes": torch.randint(1, 6, (batch, 9), generator=generator).float(),
        "keep": KEEP.repeat(batch, 1),
        "src": SRC.repeat(batch, 1),
        "dst": torch.tensor([dst]).repeat(batch, 1),
    }


@pytest.mark.parametrize("realisation", ["gather", "one-hot"])
@pytest.mark.parametrize("mode", ["mean", "sum", "first"])
@pytest.mark.parametrize("c", [1, 7])
@pytest.mark.parametrize("dst", [[3, 4, 5], [4, 4, 4], [5, 3, 5]], ids=["apart", "all to one", "two to one"])
def test_modes(capture, trip, agree, realisation, mode, c, dst):
    example = case(2, c, dst)
    program = capture(lambda x, sizes, keep, src, dst: (reduce(x, sizes, keep, src, dst, mode), dst + 0), example)
    runner = trip(program, reduce=realisation)
    for batch in (1, 2, 5):
        agree(runner, program, case(batch, c, dst, seed=batch), atol=1e-5)


@pytest.mark.parametrize("realisation", ["gather", "one-hot"])
def test_without_sizes_every_token_counts_once(capture, trip, realisation):
    example = case(2, 3, [4, 4, 5])
    del example["sizes"]
    program = capture(lambda x, keep, src, dst: (reduce(x, None, keep, src, dst, "mean"),), example)
    (found,) = trip(program, reduce=realisation)({k: v.numpy() for k, v in example.items()}).values()
    x = example["x"]
    expected = torch.stack([x[:, 0], x[:, 2], x[:, 5], x[:, 1], x[:, [3, 4, 7]].mean(1), x[:, [6, 8]].mean(1)], 1)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("realisation", ["gather", "one-hot"])
def test_untouched_tokens_are_copied_and_empty_groups_keep_their_representative(capture, trip, realisation):
    example = case(2, 3, [4, 4, 5])
    example["sizes"][:, [3, 4, 7]] = 0
    program = capture(lambda x, sizes, keep, src, dst: (reduce(x, sizes, keep, src, dst, "mean"),), example)
    (found,) = trip(program, reduce=realisation)({k: v.numpy() for k, v in example.items()}).values()
    x = example["x"].numpy()
    assert (found[:, :4] == x[:, [0, 2, 5, 1]]).all()
    assert (found[:, 4] == x[:, 3]).all()


@pytest.mark.parametrize("realisation", ["gather", "one-hot"])
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_first_takes_any_dtype(capture, trip, agree, realisation, dtype):
    example = case(2, 4, [3, 4, 5])
    example["x"] = (example["x"] * 3).to(dtype)
    del example["sizes"]
    program = capture(lambda x, keep, src, dst: (reduce(x, None, keep, src, dst, "first"),), example)
    agree(trip(program, reduce=realisation), program, example)


def test_pruning_needs_no_sources(capture, trip, agree):
    example = {"x": torch.randn(2, 9, 3), "keep": KEEP.repeat(2, 1)}
    program = capture(lambda x, keep: (reduce(x, None, keep, keep[:, :0], keep[:, :0], "mean"),), example)
    for realisation in ("gather", "one-hot"):
        agree(trip(program, reduce=realisation), program, example, atol=1e-6)


def test_the_realisation_follows_the_number_of_tokens(capture, trip):
    example = case(2, 3, [3, 4, 5])
    program = capture(lambda x, sizes, keep, src, dst: (reduce(x, sizes, keep, src, dst, "mean"),), example)
    trip(program, reduce="gather", one_hot_below=10)
    assert "GatherND" not in operators(trip)
    trip(program, reduce="gather", one_hot_below=9)
    assert "GatherND" in operators(trip)


def test_no_scatter_races(capture, trip):
    """Adding scatters of rows race between threads where a destination occurs twice, so there are none."""
    example = case(2, 3, [4, 4, 4])
    program = capture(lambda x, sizes, keep, src, dst: (reduce(x, sizes, keep, src, dst, "mean"),), example)
    runner = trip(program, threads=2)
    assert "ScatterND" not in operators(trip)
    first = runner({k: v.numpy() for k, v in example.items()})["out0"]
    assert all((runner({k: v.numpy() for k, v in example.items()})["out0"] == first).all() for _ in range(50))


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(6, 24), st.integers(0, 3), st.integers(1, 4), st.integers(0, 2**16))
def test_match_and_reduce_together(capture, trip, agree, n, protected, batch, seed):
    r = max(1, (n - protected) // 3)
    x = torch.randn(batch, n, 6, generator=torch.Generator().manual_seed(seed))

    def merge(x):
        keep, src, dst = bipartite_match(x, None, r, protected)
        sizes = reduce(torch.ones_like(x[..., :1]), None, keep, src, dst, "sum")
        return reduce(x, None, keep, src, dst, "mean"), sizes

    program = capture(merge, {"x": torch.cat([x, x])})
    for match in ("sort", "sort-free"):
        for move in ("gather", "one-hot"):
            agree(trip(program, match=match, reduce=move), program, {"x": x}, atol=2e-6)


def operators(trip) -> set[str]:
    return {node.op_type for node in onnx.load(trip.exported.entry).graph.node}
