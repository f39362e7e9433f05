"""Restoring and composing token maps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetok import ops
from edgetok.ops.realisations import COMPOSE, DESTINATIONS, REDUCE, RESTORE


@given(st.integers(0, 2**31), st.integers(2, 16), st.sampled_from(["reference", "kept"]))
@settings(deadline=None, max_examples=60)
def test_restoring_merged_duplicates_is_exact(seed: int, n: int, order: ops.Order) -> None:
    """Odd tokens are copies of the even ones before them; merging each with its copy loses nothing."""
    generator = torch.Generator().manual_seed(seed)
    n -= n % 2
    x = torch.randn(2, n // 2, 3, generator=generator).repeat_interleave(2, 1)
    metric = torch.eye(n // 2).repeat_interleave(2, 0).expand(2, -1, -1)
    sizes = torch.rand(2, n, generator=generator) + 0.1
    keep, src, dst = ops.bipartite_match(metric, None, n // 2, 0, order)
    for name in ("gather", "one-hot"):
        merged = REDUCE[name](x, sizes, keep, src, dst, "mean")
        assert torch.equal(RESTORE[name](merged, DESTINATIONS[name](keep, src, dst, n), None), x)


def test_destinations_and_dropped_tokens() -> None:
    keep, src, dst = torch.tensor([[1, 4]]), torch.tensor([[0, 2]]), torch.tensor([[1, 1]])
    y = torch.tensor([[[10.0], [20.0]]])
    dropped = torch.arange(5.0).view(1, 5, 1)
    for name in ("gather", "one-hot"):
        dest = DESTINATIONS[name](keep, src, dst, 5)
        assert dest.tolist() == [[1, 0, 1, -1, 1]]
        assert RESTORE[name](y, dest, None).flatten().tolist() == [20, 10, 20, 0, 20]
        assert RESTORE[name](y, dest, dropped).flatten().tolist() == [20, 10, 20, 3, 20]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_restore_takes_indices_and_masks(dtype: torch.dtype) -> None:
    y, dest = torch.tensor([[[7], [0]]]).to(dtype), torch.tensor([[0, -1, 1, 0]])
    dropped = torch.ones(1, 4, 1, dtype=dtype)
    for name in ("gather", "one-hot"):
        for carried in (dest, dest.float()):
            got = RESTORE[name](y, carried, dropped)
            assert got.dtype == dtype
            assert torch.equal(got, torch.tensor([[[7], [1], [0], [7]]]).to(dtype))


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 8), st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_composition_is_restoring_twice(seed: int, n0: int, n1: int, n2: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(-1, n1, (2, n0), generator=generator)
    second = torch.randint(-1, n2, (2, n1), generator=generator)
    y = torch.randn(2, n2, 3, generator=generator)
    twice = ops.restore(ops.restore(y, second), first)
    for name in ("gather", "one-hot"):
        for carried in ((first, second), (first.float(), second.float())):
            composed = COMPOSE[name](*carried)
            assert torch.equal(composed.long(), ops.compose(first, second))
            assert torch.equal(RESTORE[name](y, composed, None), twice)


@pytest.mark.parametrize("realisation", ["op", "gather", "one-hot"])
def test_gradients(realisation: str) -> None:
    generator = torch.Generator().manual_seed(2)
    y = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    dropped = torch.randn(2, 6, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    dest = torch.tensor([[0, 2, -1, 2, 1, 0], [-1, 0, 0, 0, 2, -1]])
    function = ops.restore if realisation == "op" else RESTORE[realisation]
    assert torch.autograd.gradcheck(lambda y, d: function(y, dest, d), (y, dropped))
    assert torch.autograd.gradcheck(lambda y: function(y, dest, None), (y,))
