import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgetok.errors import BadSchedule
from edgetok_plugins.mc_moe import allocate_bits, allocate_global

ONES = np.ones((2, 3))
TIE = 1e-9
"""Relative: two allocations this close in cost are both optimal; the solver works in float64."""


def total(frequency, weight, loss, chosen, bits, alpha=1.0, beta=1.5, gamma=2.0):
    figures = zip(frequency, weight, loss, chosen, strict=True)
    return sum(f**alpha * w**beta * e[bits.index(b)] ** gamma for f, w, e, b in figures)


def meets(chosen, budget, min_count):
    return sum(chosen) <= budget and all(chosen.count(width) >= count for width, count in min_count.items())


figure = st.floats(0, 4, allow_subnormal=False)


@st.composite
def layers(draw):
    bits = draw(st.sampled_from([(1, 2, 3), (2, 3, 4), (1, 2), (2, 3, 4, 8), (1, 3)]))
    experts = draw(st.integers(1, 5 if len(bits) > 3 else 6))
    column = st.lists(figure, min_size=experts, max_size=experts)
    loss = draw(st.lists(st.tuples(*[figure] * len(bits)), min_size=experts, max_size=experts))
    min_count = {width: draw(st.integers(0, 2)) for width in draw(st.sets(st.sampled_from(bits)))}
    budget = draw(st.floats(0, max(bits) * experts + 2))
    exponents = draw(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0])] * 3))
    return draw(column), draw(column), loss, bits, min_count, budget, exponents


@given(layers())
@settings(max_examples=150, deadline=None)
def test_the_optimum_is_that_of_trying_all(layer):
    frequency, weight, loss, bits, min_count, budget, exponents = layer
    options = [c for c in itertools.product(bits, repeat=len(loss)) if meets(c, budget, min_count)]
    alpha, beta, gamma = exponents
    arguments = {"budget": budget, "bits": bits, "min_count": min_count, "alpha": alpha, "beta": beta, "gamma": gamma}
    if not options:
        with pytest.raises(BadSchedule):
            allocate_bits(frequency, weight, loss, **arguments)
        return
    chosen = allocate_bits(frequency, weight, loss, **arguments)
    assert meets(chosen, budget, min_count)
    every = [total(frequency, weight, loss, option, bits, *exponents) for option in options]
    figures = list(zip(frequency, weight, loss, strict=True))
    worst = max(total([f], [w], [e], [b], bits, *exponents) for f, w, e in figures for b in bits)
    assert total(frequency, weight, loss, chosen, bits, *exponents) - min(every) <= TIE * worst


@given(st.integers(0, 2**32 - 1), st.floats(1, 3))
@settings(max_examples=25, deadline=None)
def test_one_budget_over_layers_is_that_of_trying_all(seed, share):
    made = np.random.default_rng(seed)
    bits, sizes, least = (1, 2, 3), (3, 2), {2: 1}
    frequency, weight = ([made.random(size) for size in sizes] for _ in range(2))
    loss = [made.random((size, 3)) * scale for size, scale in zip(sizes, (1, 50), strict=True)]
    norm, budget = [1.0, 50.0], 5 * share
    options = [
        (a, b)
        for a in itertools.product(bits, repeat=3)
        for b in itertools.product(bits, repeat=2)
        if sum(a + b) <= budget and a.count(2) >= 1 and b.count(2) >= 1
    ]
    assume(options)
    chosen = allocate_global(frequency, weight, loss, budget=budget, norm=norm, min_count=least)
    assert tuple(map(tuple, chosen)) in options

    def both(pair):
        scaled = zip(frequency, weight, loss, norm, pair, strict=True)
        return sum(total(f, w, e / n, c, bits) for f, w, e, n, c in scaled)

    assert both(chosen) <= min(map(both, options)) * (1 + TIE)


def test_layers_far_apart_in_norm_share_a_budget_alike():
    made = np.random.default_rng(0)
    frequency = weight = [np.ones(8)] * 2
    error = made.random((8, 1)) * np.array([4.0, 2.0, 1.0])
    shallow, deep = allocate_global(frequency, weight, [error, error * 1000], budget=32)
    assert sum(shallow) == sum(deep) == 16
    raw = allocate_global(frequency, weight, [error, error * 1000], budget=32, norm=[1.0, 1.0])
    assert sum(raw[1]) > sum(raw[0])


def test_a_budget_is_never_passed_by_rounding():
    loss = np.array([[4.0, 2.0, 1.0]] * 4)
    chosen = allocate_bits([1] * 4, [1] * 4, loss, budget=9 - 1e-9)
    assert sum(chosen) == 8


def test_a_large_model_is_solved():
    made = np.random.default_rng(1)
    loss = np.sort(made.random((16, 64, 3)), axis=2)[:, :, ::-1]
    chosen = allocate_global(made.random((16, 64)), made.random((16, 64)), loss, budget=2.5 * 1024)
    assert sum(map(sum, chosen)) <= 2.5 * 1024
    assert all({2, 3} <= set(layer) for layer in chosen)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"budget": 6.9999999}, "at least 7 bits; the budget is 6.9"),
        ({"budget": 12, "bits": (1, 2, 4)}, r"experts of \[3\] bits"),
        ({"budget": 12, "min_count": {2: 5}}, "5 experts; a layer has 4"),
    ],
)
def test_infeasible_says_why(arguments, reason):
    with pytest.raises(BadSchedule, match=reason):
        allocate_bits([1] * 4, [1] * 4, np.ones((4, 3)), **arguments)


@pytest.mark.parametrize(
    ("frequency", "loss"),
    [
        ([1, 2, 3], np.ones((2, 3))),
        ([1, -1], np.ones((2, 3))),
        ([1, np.nan], np.ones((2, 3))),
        ([1, 2], np.ones((2, 2))),
    ],
)
def test_figures_that_make_no_sense_are_refused(frequency, loss):
    with pytest.raises(ValueError, match=r"experts|finite|widths"):
        allocate_bits(frequency, [1, 1], loss, budget=6)
