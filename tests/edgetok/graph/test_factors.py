"""Axes as products of factors: unification, refinement, segments and regrouping."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetok.graph import factors
from edgetok.graph.factors import ConflictError, Factor

SIZES = st.integers(2, 12)
SHAPES = st.lists(SIZES, min_size=1, max_size=4)


def axis(*sizes: int) -> tuple[Factor, ...]:
    return tuple(Factor(n, f"f{i}") for i, n in enumerate(sizes))


def cut_at(n: int, offsets: list[int]) -> Factor:
    factor = Factor(n, "x")
    for offset in offsets:
        factors.cut(factor, offset)
    return factor


@given(SHAPES)
def test_an_axis_unified_with_its_product_is_that_product(sizes):
    one, many = axis(math.prod(sizes)), axis(*sizes)
    factors.unify(one, many)
    assert factors.ids(one) == factors.ids(many)
    assert [f.size for f in factors.resolve(one)] == sizes


@given(SHAPES)
def test_unifying_keeps_sizes_and_is_symmetric(sizes):
    a, b = axis(*sizes), axis(*sizes)
    factors.unify(b, a)
    assert factors.ids(a) == factors.ids(b)
    assert factors.size(factors.resolve(a)) == math.prod(sizes)
    before = factors.ids(a)
    factors.unify(a, b)
    assert factors.ids(a) == before


def test_unifying_is_transitive_and_unites_tags():
    a, b, c = axis(6), axis(6), axis(6)
    a[0].tags.add("batch")
    c[0].tags.add("channel")
    factors.unify(a, b)
    factors.unify(b, c)
    assert factors.ids(a) == factors.ids(c)
    assert factors.resolve(b)[0].tags == {"batch", "channel"}


@given(SHAPES, SHAPES)
def test_axes_of_other_sizes_conflict(a, b):
    left, right = axis(*a), axis(*b)
    if math.prod(a) == math.prod(b):
        return
    with pytest.raises(ConflictError):
        factors.unify(left, right)


def test_refining_needs_a_divisor_and_no_segments():
    with pytest.raises(ConflictError):
        factors.refine(Factor(7, "x"), 2)
    with pytest.raises(ConflictError):
        factors.refine(Factor(7, "x"), 0)
    with pytest.raises(ConflictError):
        factors.refine(cut_at(8, [1]), 2)


@given(st.integers(4, 40), st.data())
def test_cuts_make_segments_that_add_up(n, data):
    offsets = data.draw(st.lists(st.integers(0, n), max_size=5))
    factor = cut_at(n, offsets)
    assert factors.boundaries(factor) == sorted(set(offsets) - {0, n})
    assert sum(factors.size(leaf) for leaf in factors.leaves((factor,))) == n


@given(st.integers(4, 30), st.data())
def test_linked_factors_share_their_segments(n, data):
    offsets = st.lists(st.integers(1, n - 1), max_size=4)
    x, y = cut_at(n, data.draw(offsets)), cut_at(n, data.draw(offsets))
    everywhere = sorted({*factors.boundaries(x), *factors.boundaries(y)})
    factors.unify((x,), (y,))
    assert factors.ids((x,)) == factors.ids((y,))
    assert factors.boundaries(factors.resolve((x,))[0]) == everywhere


def test_overlapping_segments_conflict_and_end():
    """``x[:, 1:] + x[:, :-1]``: one segment would have to be a part of itself."""
    middle = axis(10)
    with pytest.raises(ConflictError):
        factors.unify((Factor(11, "a", segments=((), middle)),), (Factor(11, "b", segments=(middle, ())),))


def test_a_cut_inside_a_product_conflicts():
    whole = Factor(13, "x", segments=((), axis(3, 4)))
    with pytest.raises(ConflictError):
        factors.cut(whole, 5)


@given(SHAPES, st.data())
def test_regrouping_keeps_order_and_sizes(sizes, data):
    """A flattened axis takes any shape whose product is its own, and back."""
    flat = axis(math.prod(sizes))
    split = factors.regroup([flat], sizes)
    assert [factors.size(a) for a in split] == sizes
    at = data.draw(st.integers(0, len(sizes)))
    merged = factors.regroup(split, [math.prod(sizes[:at]), math.prod(sizes[at:])])
    assert factors.ids(merged[0] + merged[1]) == factors.ids(flat)


def test_regrouping_across_factors_refines_them():
    three, eight = factors.regroup([axis(6), axis(4)], [3, 8])
    assert [f.size for f in three] == [3]
    assert [f.size for f in eight] == [2, 4]


@pytest.mark.parametrize(("sizes", "wanted"), [((4, 9), (6, 6)), ((2, 3), (3, 2)), ((4,), (3, 2))])
def test_shapes_that_no_factors_explain_conflict(sizes, wanted):
    axes = [axis(n) for n in sizes]
    with pytest.raises(ConflictError):
        factors.regroup(axes, wanted)
