"""Token maps: windows, continuations, and what they do to tokens."""

from __future__ import annotations

import torch

from edgetok.graph.tokens import TokenMap

MAP = TokenMap(torch.tensor([[0, 1, 3, 4]]), torch.tensor([[2]]), torch.tensor([[3]]))
"""Five tokens, of which 2 merges into 4."""


def test_pruning_merges_nothing():
    keep = torch.tensor([[0, 3], [1, 2]])
    pruned = TokenMap.pruning(keep)
    assert pruned.merged == 0
    assert pruned.destinations(4).tolist() == [[0, -1, -1, 1], [-1, 0, 1, -1]]


def test_a_window_counts_from_its_start():
    window = MAP.window(1, 4)
    assert (window.keep.tolist(), window.src.tolist(), window.dst.tolist()) == ([[0, 2, 3]], [[1]], [[2]])


def test_tokens_after_the_mapped_ones_stay():
    longer = MAP.followed_by(5, 2)
    assert longer.keep.tolist() == [[0, 1, 3, 4, 5, 6]]
    assert longer.destinations(7).tolist() == [[0, 1, 3, 2, 3, 4, 5]]
    assert MAP.followed_by(5, 0) is MAP


def test_reduction_by_size():
    x = torch.tensor([[1.0, 2.0, 6.0, 4.0, 0.0]]).unsqueeze(-1)
    sizes = torch.tensor([[1.0, 1.0, 1.0, 1.0, 2.0]])
    assert MAP.reduce(x, sizes, "mean").flatten().tolist() == [1.0, 2.0, 4.0, 2.0]
    assert MAP.reduce(x, None, "sum").flatten().tolist() == [1.0, 2.0, 4.0, 6.0]
    assert MAP.reduce(x, None, "first").flatten().tolist() == [1.0, 2.0, 4.0, 0.0]
