"""Tensors of any layout seen as ``(batch, tokens, rest)``, and back."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgetok.graph import factors
from edgetok.graph.arrange import UnplaceableError, arrange, give_batch, has_batch, spread
from edgetok.graph.factors import Factor
from edgetok.graph.space import Space

BATCH, TOKENS = Factor(3, "batch"), Factor(5, "tokens")
HEADS, CHANNELS, FRAMES = Factor(2, "heads"), Factor(4, "channels"), Factor(6, "frames")
SPACE = Space(0, (TOKENS,), ((TOKENS,),))


@st.composite
def layouts(draw, with_batch=True):
    """Axes that deal out a random order of factors, some merged, some of size 1."""
    kept = [TOKENS, HEADS, CHANNELS, FRAMES, *([BATCH] if with_batch else [])]
    order = draw(st.permutations(kept))
    ends = draw(st.lists(st.integers(0, len(order)), max_size=4))
    bounds = [0, *sorted(ends), len(order)]
    return tuple(tuple(order[a:b]) for a, b in itertools.pairwise(bounds))


def place(axes, batch=(BATCH,)):
    (where,) = SPACE.occurrences(axes)
    shape = [factors.size(axis) for axis in axes]
    return arrange(shape, axes, where, batch, factors.size, TOKENS.size), shape


@given(layouts())
def test_there_and_back_is_the_same(axes):
    placed, shape = place(axes)
    x = torch.arange(math.prod(shape)).reshape(shape)
    seen = []
    assert torch.equal(placed.apply(x, lambda y: seen.append(y.shape) or y), x)
    assert seen[0][:2] == (3, 5)


@given(layouts())
def test_picking_tokens_is_picking_them_along_their_axis(axes):
    """Selecting tokens in the arranged form equals selecting them where they are among the factors."""
    placed, shape = place(axes)
    flat = [f for axis in axes for f in axis]
    x = torch.randn(shape)
    picked = placed.apply(x, lambda y: y[:, [4, 0]])
    wanted = x.reshape([f.size for f in flat]).index_select(flat.index(TOKENS), torch.tensor([4, 0]))
    assert torch.equal(picked.flatten(), wanted.flatten())
    assert list(picked.shape) == [math.prod(2 if f is TOKENS else f.size for f in axis) for axis in axes]


@given(layouts(with_batch=False))
def test_without_a_batch_there_is_one_sample(axes):
    placed, shape = place(axes, batch=())
    x = torch.randn(shape)
    assert placed.apply(x, lambda y: y * (y.shape[0] == 1)).equal(x)


@given(layouts(with_batch=False))
def test_a_missing_batch_is_noticed(axes):
    assert not has_batch(axes, (BATCH,))
    with pytest.raises(UnplaceableError):
        place(axes)


def test_a_table_gets_the_batch_of_what_it_is_added_to():
    table = torch.randn(5, 4)
    axes, consumer = ((TOKENS,), (CHANNELS,)), ((BATCH,), (HEADS,), (TOKENS,), (CHANNELS,))
    wide, found = give_batch(table, axes, consumer, (BATCH,), factors.size)
    assert wide.shape == (3, 1, 5, 4)
    assert wide.equal(table.expand(3, 1, 5, 4))
    assert found == ((BATCH,), (), (TOKENS,), (CHANNELS,))


def test_a_table_meets_heads_folded_into_the_batch():
    wide, found = give_batch(
        torch.randn(1, 5, 5), ((), (TOKENS,), (TOKENS,)), ((BATCH, HEADS), (TOKENS,), (TOKENS,)), (BATCH,), factors.size
    )
    assert wide.shape == (6, 5, 5)
    assert found[0] == (BATCH, HEADS)


@pytest.mark.parametrize(
    ("axes", "consumer"),
    [
        (((TOKENS,),), ((TOKENS,),)),
        (((HEADS,), (TOKENS,)), ((BATCH,), (TOKENS,))),
        (((TOKENS,), (CHANNELS,)), ((BATCH,), (CHANNELS,), (TOKENS,))),
    ],
    ids=["no batch there", "entries where the batch goes", "other axes"],
)
def test_a_table_that_does_not_fit_is_refused(axes, consumer):
    with pytest.raises(UnplaceableError):
        give_batch(torch.zeros([factors.size(a) for a in axes]), axes, consumer, (BATCH,), factors.size)


@pytest.mark.parametrize("axes", [((BATCH,), (TOKENS,), (CHANNELS,)), ((TOKENS,), (), (BATCH,), (CHANNELS,))])
def test_weights_broadcast_along_batch_and_tokens(axes):
    (where,) = SPACE.occurrences(axes)
    weights = torch.randn(3, 5)
    factor = spread(weights, axes, where, (BATCH,))
    b, t = axes.index((BATCH,)), axes.index((TOKENS,))
    for sample in range(3):
        for token in range(5):
            index = [0] * len(axes)
            index[b], index[t] = sample, token
            assert factor[tuple(index)] == weights[sample, token]


def test_weights_of_folded_tokens_are_refused():
    axes = ((BATCH,), (TOKENS, CHANNELS))
    (where,) = SPACE.occurrences(axes)
    with pytest.raises(UnplaceableError):
        spread(torch.randn(3, 5), axes, where, (BATCH,))
