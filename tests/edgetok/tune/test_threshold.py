"""One threshold becomes counts per layer: more where tokens are alike, and within the budget."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from edgetok.tune.threshold import calibrate, counts, similarity


def signals(keys, protected=0, real=None):
    return SimpleNamespace(keys=keys, protected=protected, real=real)


def test_counts_are_means_over_samples_and_keep_their_sum():
    first = torch.tensor([[0.9, 0.8, 0.1], [0.9, 0.2, 0.1]])
    second = torch.tensor([[0.9, 0.9, 0.9], [0.9, 0.9, 0.1]])
    assert counts([first, second], 0.5) == (2, 2), "means 1.5 and 2.5"
    assert counts([first, second], 0.95) == (0, 0)
    assert counts([torch.empty(0), second], 0.0) == (0, 3)


def test_twins_are_alike_and_strangers_are_not():
    keys = torch.eye(4)[None, [0, 0, 1, 2]]
    assert similarity(signals(keys)).tolist() == [[1.0, 0.0]]


def test_protected_tokens_and_padding_are_left_out():
    keys = torch.eye(4)[None, [3, 0, 0, 1, 1]]
    assert similarity(signals(keys, protected=1)).tolist() == [[1.0, 1.0]]
    real = torch.tensor([[True, True, True, False, False]])
    assert similarity(signals(keys, protected=1, real=real)).tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("budget", [0.85, 0.6])
def test_the_budget_is_met(setting, judge, budget):
    found = calibrate(setting, judge, budget, "tokens")
    assert found.tokens_share <= budget
    assert found.tokens_share > budget - 0.1
    assert found.plugin.r == found.removed


def test_layers_whose_tokens_are_alike_merge_more(setting, judge, monkeypatch):
    heard = iter([1, 2, 0] * 3)

    def listen(setting, judge, candidate):
        n = next(heard)
        return [torch.full((2, 12), 0.9 if i == n else 0.1).add(torch.rand(2, 12) * 0.05) for i in range(3)]

    monkeypatch.setattr("edgetok.tune.threshold._listen", listen)
    found = calibrate(setting, judge, 0.8, "tokens")
    assert found.removed[0] > max(found.removed[1:])
