"""Token maps as vectors, and the way back to all old tokens, in onnxruntime as in torch."""

from __future__ import annotations

import pytest
import torch

from edgetok.ops import compose, destinations, restore

KEEP, SRC, DST = torch.tensor([[0, 2, 5, 1, 3]]), torch.tensor([[4, 6, 8]]), torch.tensor([[3, 4, 3]])
MIXED = [
    {"reduce": "gather"},
    {"reduce": "one-hot"},
    {"reduce": "gather", "one_hot_below": 6},
]


def ids(batch: int) -> dict[str, torch.Tensor]:
    return {"keep": KEEP.repeat(batch, 1), "src": SRC.repeat(batch, 1), "dst": DST.repeat(batch, 1)}


@pytest.mark.parametrize("moves", MIXED, ids=str)
def test_there_and_back(capture, trip, agree, moves):
    """Token 7 of 9 is dropped: its place gets zeros, or what it was."""

    def walk(y, old, keep, src, dst):
        dest = destinations(keep, src, dst, 9)
        return dest, restore(y, dest), restore(y, dest, old), compose(dest, torch.flip(dest[:, :5], [1]))

    example = {"y": torch.randn(2, 5, 3), "old": torch.randn(2, 9, 3), **ids(2)}
    program = capture(walk, example)
    runner = trip(program, **moves)
    agree(runner, program, example)
    agree(runner, program, {"y": torch.randn(5, 5, 3), "old": torch.randn(5, 9, 3), **ids(5)})


@pytest.mark.parametrize("moves", MIXED[:2], ids=str)
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_restore_takes_any_dtype(capture, trip, agree, moves, dtype):
    def walk(y, old, keep, src, dst):
        dest = destinations(keep, src, dst, 9)
        return restore(y, dest), restore(y, dest, old)

    example = {"y": (torch.randn(2, 5, 3) * 3).to(dtype), "old": (torch.randn(2, 9, 3) * 3).to(dtype), **ids(2)}
    program = capture(walk, example)
    agree(trip(program, **moves), program, example)


@pytest.mark.parametrize("moves", MIXED[:2], ids=str)
def test_pruning_and_plain_operators_on_ids(capture, trip, agree, moves):
    """Ids carried as floats are integers again where operators of no primitive read them."""

    def walk(y, keep):
        dest = destinations(keep, keep[:, :0], keep[:, :0], 9)
        return dest + 1, restore(y, dest), dest

    example = {"y": torch.randn(2, 5, 3), "keep": KEEP.repeat(2, 1)}
    program = capture(walk, example)
    agree(trip(program, **moves), program, example)
