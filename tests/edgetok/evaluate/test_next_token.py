"""Perplexity and next-token accuracy of two models on the same windows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgetok.errors import DatasetNotFound, UnsupportedModel
from edgetok.evaluate import TokenWindows, evaluate
from edgetok.evaluate.next_token import LARGEST, paired_mean_interval

IDS = np.random.default_rng(0).integers(0, 7, (5, 9))


class Table:
    """A model that scores the next token by the token alone."""

    input_names, output_names = ("input_ids",), ("logits",)

    def __init__(self, scores):
        self.scores = np.asarray(scores, np.float32)

    def __call__(self, inputs):
        return {"logits": self.scores[inputs["input_ids"] % 7]}


@pytest.fixture
def dense():
    return Table(np.random.default_rng(1).normal(size=(7, 7)))


@pytest.fixture
def other():
    return Table(np.random.default_rng(2).normal(size=(7, 7)))


def losses(model):
    scores = model.scores.astype(float)[IDS]
    logs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    return -np.take_along_axis(logs[:, :-1], IDS[:, 1:, None], -1)[..., 0]


def test_figures_are_those_of_the_definition(dense, other):
    found = evaluate(dense, other, TokenWindows("text", IDS), batch=2)
    text = found.perplexity
    assert (text.tokens, text.windows, found.n) == (40, 5, 5)
    assert math.isclose(text.dense, math.exp(losses(dense).mean()))
    assert math.isclose(text.optimized, math.exp(losses(other).mean()))
    assert math.isclose(text.ratio, text.dense / text.optimized)
    differences = (losses(dense) - losses(other)).mean(1)
    half = 1.959964 * differences.std(ddof=1) / math.sqrt(5)
    assert np.allclose(text.ci95, np.exp([differences.mean() - half, differences.mean() + half]))
    guesses = dense.scores.argmax(1)[IDS[:, :-1]]
    assert math.isclose(found.dense, 100 * (guesses == IDS[:, 1:]).mean())
    assert found.metric == "next-token top-1"
    assert found.kl_mean > 0


def test_the_same_model_loses_nothing(dense):
    found = evaluate(dense, dense, TokenWindows("text", IDS), batch=3)
    assert (found.perplexity.ratio, found.perplexity.ci95, found.drop) == (1.0, (1.0, 1.0), 0.0)
    assert (found.top1_agreement, found.kl_mean) == (100.0, 0.0)


def test_what_fills_a_batch_is_not_counted(dense, other):
    """Five windows in batches of two and of five give the same figures."""
    two, five = (evaluate(dense, other, TokenWindows("text", IDS), batch=size).perplexity for size in (2, 5))
    assert math.isclose(two.dense, five.dense)
    assert two.tokens == five.tokens


def test_one_window_has_no_interval_of_perplexity(dense, other):
    found = evaluate(dense, other, TokenWindows("text", IDS[:1]))
    assert found.perplexity.ci95 is None
    assert found.ci95 == (-100.0, 100.0)


def test_a_hopeless_model_has_a_number(dense):
    hopeless = Table(np.where(np.eye(7) > 0, 1e6, 0.0))
    text = evaluate(dense, hopeless, TokenWindows("text", IDS)).perplexity
    assert text.optimized == math.exp(LARGEST)


def test_class_scores_are_no_language_model(dense):
    class Classes(Table):
        def __call__(self, inputs):
            return {"logits": super().__call__(inputs)["logits"][:, 0]}

    with pytest.raises(UnsupportedModel, match="next token"):
        evaluate(Classes(dense.scores), dense, TokenWindows("text", IDS))


def test_tokens_beyond_the_vocabulary_are_refused(dense):
    with pytest.raises(DatasetNotFound, match="do not fit"):
        evaluate(dense, dense, TokenWindows("text", IDS + 3))


def test_the_interval_covers_the_mean_as_often_as_it_says():
    draw = np.random.default_rng(3)
    covered = 0
    for _ in range(1000):
        low, high = paired_mean_interval(draw.normal(0.3, 1.0, 50))
        covered += low <= 0.3 <= high
    assert 920 <= covered <= 970
