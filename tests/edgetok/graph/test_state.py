"""Versions of a space, and the scores that sizes add to attention."""

from __future__ import annotations

import math

import pytest
import torch

from edgetok.graph.factors import Factor
from edgetok.graph.space import Occurrence, Space
from edgetok.graph.state import SpaceState, Version, score_of
from edgetok.graph.tokens import TokenMap

PATCHES = Factor(4, "patches")
SPACE = Space(0, (Factor(6, "tokens", segments=((), (PATCHES,), ())),), ((), (PATCHES,), ()))


def state() -> SpaceState:
    """Token 2 merges into token 4 of ``class, a b c d, last``; then the token of ``a`` is dropped."""
    made = SpaceState(SPACE, (), versions=[Version(SPACE.sizes)])
    merge = TokenMap(torch.tensor([[0, 1, 3, 4, 5]]), torch.tensor([[2]]), torch.tensor([[3]]))
    made.push(merge, torch.randn(1, 6, 2), 5)
    made.push(TokenMap.pruning(torch.tensor([[0, 2, 3, 4]])), torch.randn(1, 5, 2), 4)
    return made


def test_sizes_add_up_and_drops_are_known():
    made = state()
    assert [v.sizes for v in made.versions] == [(1, 4, 1), (1, 3, 1), (1, 2, 1)]
    assert made.versions[1].weights.tolist() == [[1, 1, 1, 2, 1]]
    assert made.versions[2].weights.tolist() == [[1, 1, 2, 1]]
    assert [made.drops(i) for i in range(3)] == [False, False, True]


def test_destinations_are_composed():
    made = state()
    assert made.destinations(1).tolist() == [[0, 1, 3, 2, 3, 4]]
    assert made.destinations(2).tolist() == [[0, -1, 2, 1, 2, 3]]


def test_windows_start_at_their_first_segment():
    made, patches = state(), Occurrence(1, 0, 1, 1, 2)
    assert (made.start(patches), made.tokens(patches, 0), made.tokens(patches, 2)) == (1, 4, 2)
    window = made.map_for(patches, 1)
    assert (window.keep.tolist(), window.src.tolist(), window.dst.tolist()) == ([[0, 2, 3]], [[1]], [[2]])
    assert made.weights_for(patches, 2).tolist() == [[1, 2]]


def test_scores_are_logs_of_sizes_and_padding_is_hidden():
    sizes = torch.tensor([[1.0, 3.0]])
    assert score_of(sizes, padded=False).tolist() == [[0.0, pytest.approx(math.log(3))]]
    padded = torch.tensor([[1.0, 2.0, 0.0]])
    assert score_of(padded, padded=True).tolist() == [[0.0, pytest.approx(math.log(2)), -3e4]]
    assert score_of(padded, padded=True, proportional=False).tolist() == [[0.0, 0.0, -3e4]]
    assert bool(score_of(padded.half(), padded=True).isfinite().all())


def test_an_unproportional_space_adds_nothing():
    made = state()
    made.proportional = False
    assert made.bias(2) is None
