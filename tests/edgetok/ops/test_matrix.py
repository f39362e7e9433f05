"""Matches as matrices against the reference operators: the same decision, and the same reduction."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgetok import ops
from edgetok.ops.matrix import SCALE, Layout, head_sum, match_matrices, matrix_ids, matrix_mean, matrix_sum

Arguments = tuple[Tensor, int, int]


@st.composite
def arguments(draw: st.DrawFn) -> Arguments:
    """``metric, r, protected``: entries -1 and 1 in 4 dimensions, so that ties are everywhere and rounding nowhere."""
    protected = draw(st.sampled_from([0, 1, 2, 5]))
    n = draw(st.integers(protected + 4, protected + 14))
    top = Layout.of(n, protected).evens - 1
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    metric = torch.randint(0, 2, (draw(st.integers(1, 3)), n, 4), generator=generator).float() * 2 - 1
    return metric, draw(st.integers(1, min(top, ops.max_r(n, protected)))), protected


@given(arguments())
@settings(deadline=None, max_examples=200)
def test_ids_are_those_of_the_reference(given_: Arguments):
    metric, r, protected = given_
    found = matrix_ids(*match_matrices(metric, r, protected), metric.shape[1], protected)
    for ids, expected in zip(found, ops.bipartite_match(metric, None, r, protected), strict=True):
        assert torch.equal(ids.long(), expected)


@given(arguments(), st.integers(0, 2**31))
@settings(deadline=None, max_examples=100)
def test_reductions_are_those_of_the_reference(given_: Arguments, seed: int):
    metric, r, protected = given_
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 9, metric.shape[:2], generator=generator).float()
    x = torch.randn((*metric.shape[:2], 6), generator=generator)
    keep, src, dst = ops.bipartite_match(metric, None, r, protected)
    picks, into, _ = match_matrices(metric, r, protected)
    totals = matrix_sum(sizes.unsqueeze(2), picks, into, protected)
    assert torch.equal(totals, ops.reduce(sizes.unsqueeze(2), None, keep, src, dst, "sum"))
    mean = matrix_mean(x, sizes, picks, into, protected)
    torch.testing.assert_close(mean, ops.reduce(x, sizes, keep, src, dst, "mean"), rtol=0, atol=2e-6)


@pytest.mark.parametrize("protected", [0, 1, 2, 5])
@pytest.mark.parametrize("n", [14, 15])
def test_untouched_tokens_are_copied_bit_for_bit(n: int, protected: int):
    generator = torch.Generator().manual_seed(n + protected)
    x = torch.randn((2, n, 7), generator=generator)
    keep, _, dst = ops.bipartite_match(x, None, 2, protected)
    picks, into, _ = match_matrices(x, 2, protected)
    sizes = torch.full((2, n), 3.0)
    mean = matrix_mean(x, sizes, picks, into, protected)
    untouched = torch.ones(keep.shape, dtype=torch.bool).scatter(1, dst, False)
    assert torch.equal(mean[untouched], x.gather(1, keep.unsqueeze(2).expand(-1, -1, 7))[untouched])


def test_one_prefix_token_is_cut_only_where_the_rest_is_odd():
    assert (Layout.of(197, 1).cut, Layout.of(184, 1).cut) == (1, 0)
    assert (Layout.of(197, 1).forced, Layout.of(184, 1).forced) == (0, 1)


def test_a_prefix_token_left_among_the_sources_is_never_merged():
    metric = torch.ones(1, 8, 4)
    metric[0, 2:] = torch.randn((6, 4), generator=torch.Generator().manual_seed(0))
    keep, src, _ = matrix_ids(*match_matrices(metric, 3, 1), 8, 1)
    assert keep[0, 0] == 0
    assert 0 not in src


@pytest.mark.parametrize("heads", [1, 2, 3, 6, 12])
def test_head_sum(heads):
    keys = torch.randn((2, heads, 5, 4), generator=torch.Generator().manual_seed(0))
    packed = keys.transpose(1, 2).reshape(2, 5, heads * 4)
    torch.testing.assert_close(head_sum(packed, heads), keys.sum(1), rtol=0, atol=1e-5)


def test_scores_that_differ_by_rounding_are_told_apart():
    """Between cosines of 1 and of one step below, and between those of 1e-7, the greater one wins, be it the later."""
    for cosine in (1.0, 1e-7):
        near, far = torch.tensor(cosine), torch.nextafter(torch.tensor(cosine), torch.tensor(0.0))
        scores = torch.stack([far, near]) * SCALE**2
        assert (scores[1] - scores[0]).item() >= 1
    metric = torch.tensor([[[1.0, 0], [1.0, 2.0**-11], [1.0, 0], [1.0, 2.0**-12]]])
    _, into, _ = match_matrices(metric, 1, 0)
    assert into[0].tolist() == [[0, 0], [1, 0]]
