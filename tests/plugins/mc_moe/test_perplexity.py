import math
from types import SimpleNamespace

import pytest
import torch

from edgetok_plugins.mc_moe.perplexity import Perplexity, difference, fewer_right, perplexity


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
    found = Perplexity((1.0, 2.0, 3.0, 4.0), (0.1, 0.2, 0.3, 0.4))
    error = 1.96 * math.sqrt(5 / 3) / 2
    assert found.interval == pytest.approx((math.exp(2.5 - error), math.exp(2.5 + error)))
    assert found.accuracy == pytest.approx(25)
    assert found.accuracy_interval == pytest.approx((25 - 10 * error, 25 + 10 * error))


def test_what_is_right_is_the_likeliest_token():
    found = perplexity(Fixed([0.0, 1.0, -1.0]), torch.tensor([[0, 1, 1, 1], [1, 0, 1, 2], [1, 0, 0, 0]]), batch=2)
    assert found.rights == pytest.approx((1, 1 / 3, 0))


def test_differences_are_paired():
    """Sequences differ by much, the models by the same little on each: that is certain."""
    one, other = Perplexity((1.1, 5.1, 9.1), (0.4, 0.6, 0.1)), Perplexity((1.0, 5.0, 9.0), (0.5, 0.7, 0.2))
    found = difference(one, other)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    fewer = fewer_right(one, other)
    assert (fewer.mean, fewer.low, fewer.high) == pytest.approx((10, 10, 10))
