import math
from types import SimpleNamespace

import pytest
import torch

from edgetok_plugins.mc_moe.perplexity import Perplexity, difference, perplexity


class Fixed:
    """Gives every token the same logits, whatever came before."""

    def __init__(self, logits):
        self.logits = torch.tensor(logits)

    def __call__(self, input_ids, use_cache):
        return SimpleNamespace(logits=self.logits.expand(*input_ids.shape, -1))


def test_a_model_that_knows_nothing_is_as_perplexed_as_there_are_tokens():
    found = perplexity(Fixed([0.0] * 7), torch.randint(0, 7, (5, 11)), batch=2)
    assert len(found.losses) == 5
    assert found.value == pytest.approx(7)
    assert found.interval == pytest.approx((7, 7))


def test_the_first_token_is_not_predicted():
    found = perplexity(Fixed([math.log(3), 0.0]), torch.tensor([[1, 0, 0], [0, 1, 1]]))
    assert found.losses == pytest.approx((-math.log(0.75), -math.log(0.25)))


def test_intervals_are_of_the_mean_of_sequences():
    found = Perplexity((1.0, 2.0, 3.0, 4.0))
    error = 1.96 * math.sqrt(5 / 3) / 2
    assert found.interval == pytest.approx((math.exp(2.5 - error), math.exp(2.5 + error)))


def test_differences_are_paired():
    """Sequences differ by much, the models by the same little on each: that is certain."""
    found = difference(Perplexity((1.1, 5.1, 9.1)), Perplexity((1.0, 5.0, 9.0)))
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
