"""Reduction: the mean against its definition, bits of untouched tokens, sizes, gradients, realisations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgetok import ops
from edgetok.ops.realisations import REDUCE

Case = tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]


def token_map(
    generator: torch.Generator, batch: int, n: int, merged: int, dropped: int
) -> tuple[Tensor, Tensor, Tensor]:
    """A random token map: which tokens stay, go where, or are dropped differs per sample."""
    shuffled = torch.stack([torch.randperm(n, generator=generator) for _ in range(batch)])
    keep, src = shuffled[:, merged + dropped :], shuffled[:, :merged]
    return keep, src, torch.randint(0, keep.shape[1], (batch, merged), generator=generator)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    batch, n = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    merged = draw(st.integers(0, n - 1))
    dropped = draw(st.integers(0, n - 1 - merged))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(batch, n, 3, generator=generator, dtype=torch.float64)
    sizes = torch.randint(0, 4, (batch, n), generator=generator).double()
    return x, sizes, token_map(generator, batch, n, merged, dropped)


def groups(keep: Tensor, src: Tensor, dst: Tensor, i: int) -> list[list[int]]:
    """The old tokens of each new token of sample ``i``, its representative first."""
    found = [[k] for k in keep[i].tolist()]
    for s, d in zip(src[i].tolist(), dst[i].tolist(), strict=True):
        found[d].append(s)
    return found


@given(cases())
@settings(deadline=None, max_examples=100)
def test_mean_is_the_size_weighted_mean(case: Case) -> None:
    x, sizes, (keep, src, dst) = case
    got = ops.reduce(x, sizes, keep, src, dst, "mean")
    for i in range(len(x)):
        for m, members in enumerate(groups(keep, src, dst, i)):
            weight = sizes[i, members]
            if weight.sum() == 0:
                assert torch.equal(got[i, m], x[i, members[0]])
            else:
                expected = (weight[:, None] * x[i, members]).sum(0) / weight.sum()
                torch.testing.assert_close(got[i, m], expected, rtol=1e-12, atol=1e-12)


@given(cases(), st.sampled_from(["mean", "sum", "first"]))
@settings(deadline=None, max_examples=100)
def test_untouched_tokens_are_copied_bit_for_bit(case: Case, mode: str) -> None:
    x, sizes, (keep, src, dst) = case
    for realisation in REDUCE.values():
        got = realisation(x, sizes, keep, src, dst, mode)
        for i in range(len(x)):
            for m, members in enumerate(groups(keep, src, dst, i)):
                if len(members) == 1:
                    assert torch.equal(got[i, m], x[i, members[0]])


@given(cases())
@settings(deadline=None, max_examples=100)
def test_realisations_agree(case: Case) -> None:
    x, sizes, maps = case
    floats = tuple(part.float() for part in maps)
    for mode in ("mean", "sum", "first"):
        for weights in (sizes, None):
            expected = REDUCE["gather"](x, weights, *maps, mode)
            for carried in (maps, floats):
                for name in ("gather", "one-hot"):
                    torch.testing.assert_close(
                        REDUCE[name](x, weights, *carried, mode), expected, rtol=1e-12, atol=1e-12
                    )


@given(st.integers(0, 2**31), st.integers(2, 20), st.data())
@settings(deadline=None, max_examples=50)
def test_sizes_are_conserved(seed: int, n: int, data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(seed)
    r = data.draw(st.integers(0, n - 1))
    sizes = torch.randint(0, 5, (2, n, 1), generator=generator).float()
    maps = token_map(generator, 2, n, r, 0)
    for realisation in REDUCE.values():
        assert torch.equal(realisation(sizes, None, *maps, "sum").sum(1), sizes.sum(1))


def test_size_zero_contributes_nothing() -> None:
    x = torch.tensor([[[1.0], [3.0], [1e6]]])
    keep, src, dst = torch.tensor([[0]]), torch.tensor([[1, 2]]), torch.tensor([[0, 0]])
    for realisation in REDUCE.values():
        assert realisation(x, torch.tensor([[1.0, 1.0, 0.0]]), keep, src, dst, "mean").item() == 2.0


@pytest.mark.parametrize("name", ["gather", "one-hot"])
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float16])
def test_first_takes_any_dtype(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([[5, 0, 7, 1]]).to(dtype).unsqueeze(-1)
    keep, src, dst = torch.tensor([[2, 1]]), torch.tensor([[0]]), torch.tensor([[1]])
    got = REDUCE[name](x, None, keep, src, dst, "first")
    assert got.dtype == dtype
    assert torch.equal(got, x[:, [2, 1]])


def test_first_of_a_mask_never_gives_nan() -> None:
    x = torch.tensor([[[0.0], [-torch.inf], [0.0]]])
    keep, src, dst = torch.tensor([[0, 1]]), torch.tensor([[2]]), torch.tensor([[0]])
    assert REDUCE["gather"](x, None, keep, src, dst, "first").flatten().tolist() == [0, -torch.inf]
    assert REDUCE["one-hot"](x, None, keep, src, dst, "first").flatten().tolist() == [0, torch.finfo(torch.float32).min]


@pytest.mark.parametrize("mode", ["mean", "sum", "first"])
@pytest.mark.parametrize("realisation", ["op", "gather", "one-hot"])
def test_gradients(mode: str, realisation: str) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 9, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    sizes = (torch.rand(2, 9, generator=generator, dtype=torch.float64) + 0.5).requires_grad_()
    maps = token_map(generator, 2, 9, 4, 1)
    function = ops.reduce if realisation == "op" else REDUCE[realisation]
    wanted = (x, sizes) if mode == "mean" else (x,)
    assert torch.autograd.gradcheck(lambda x, s=sizes: function(x, s, *maps, mode), wanted)


@given(cases())
@settings(deadline=None, max_examples=50)
def test_max_is_the_largest_of_the_group(case: Case) -> None:
    x, _, (keep, src, dst) = case
    values = x[..., :1].clone().requires_grad_()
    got = ops.reduce(values, None, keep, src, dst, "max")
    got.sum().backward()
    for i in range(len(x)):
        for m, members in enumerate(groups(keep, src, dst, i)):
            assert got[i, m] == x[i, members, 0].max()
            assert values.grad[i, members, 0].tolist() == (x[i, members, 0] == got[i, m]).double().tolist()
    free = REDUCE["one-hot"](x[..., :1], None, keep.float(), src.float(), dst.float(), "max")
    torch.testing.assert_close(free, got.detach(), rtol=1e-12, atol=1e-12)


def test_max_takes_one_value_per_token() -> None:
    ids = torch.zeros(1, 1, dtype=torch.int64)
    with pytest.raises(ValueError, match="not 3"):
        ops.reduce(torch.zeros(1, 2, 3), None, ids, ids[:, :0], ids[:, :0], "max")


def test_refuses_an_unknown_mode() -> None:
    ids = torch.zeros(1, 1, dtype=torch.int64)
    with pytest.raises(ValueError, match="'median'"):
        ops.reduce(torch.zeros(1, 2, 1), None, ids, ids[:, :0], ids[:, :0], "median")  # type: ignore[arg-type]
