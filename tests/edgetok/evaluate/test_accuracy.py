"""Both models on the same samples."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from edgetok.errors import DatasetNotFound, RuntimeFailed, UnsupportedModel
from edgetok.evaluate import evaluate, load_dataset
from edgetok.evaluate.interval import paired_interval

Scores = Callable[[np.ndarray], np.ndarray]


class Scorer:
    """A runner whose scores are a function of its input ``x``; it records what it was given."""

    input_names = ("x",)
    output_names = ("logits",)

    def __init__(self, scores: Scores, batch: int | None = None) -> None:
        self.scores = scores
        self.batch = batch
        self.seen: list[np.ndarray] = []

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert set(inputs) == {"x"}
        assert self.batch is None or len(inputs["x"]) == self.batch
        self.seen.append(inputs["x"])
        return {"logits": self.scores(inputs["x"])}


def linear(weights: np.ndarray) -> Scores:
    return lambda x: x @ weights


@pytest.fixture
def data() -> list[tuple[dict[str, np.ndarray], int]]:
    draw = np.random.default_rng(0)
    return [({"x": draw.standard_normal(6), "unused": np.zeros(1)}, int(draw.integers(0, 3))) for _ in range(50)]


def test_figures_equal_a_direct_count(data: list) -> None:
    draw = np.random.default_rng(1)
    first, second = draw.standard_normal((6, 3)), draw.standard_normal((6, 3))
    dense, optimized = Scorer(linear(first), batch=16), Scorer(linear(second), batch=16)
    result = evaluate(dense, optimized, load_dataset(data, None), batch=16)
    assert all(np.array_equal(a, b) for a, b in zip(dense.seen, optimized.seen, strict=True))
    x, labels = np.stack([inputs["x"] for inputs, _ in data]), np.array([label for _, label in data])
    right = [(x @ w).argmax(1) == labels for w in (first, second)]
    p, q = (np.exp(x @ w) / np.exp(x @ w).sum(1, keepdims=True) for w in (first, second))
    assert result.n == 50
    assert result.dense == pytest.approx(100 * right[0].mean())
    assert result.optimized == pytest.approx(100 * right[1].mean())
    assert result.drop == pytest.approx(result.dense - result.optimized)
    low, high = paired_interval(int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum()), 50)
    assert result.ci95 == pytest.approx((100 * low, 100 * high))
    assert result.kl_mean == pytest.approx((p * np.log(p / q)).sum(1).mean())
    assert result.top1_agreement == pytest.approx(100 * ((x @ first).argmax(1) == (x @ second).argmax(1)).mean())


def test_a_model_against_itself(data: list) -> None:
    weights = np.random.default_rng(1).standard_normal((6, 3))
    result = evaluate(Scorer(linear(weights)), Scorer(linear(weights)), load_dataset(data, None), batch=7)
    assert (result.drop, result.kl_mean, result.top1_agreement) == (0, 0, 100)
    assert result.ci95[0] < 0 < result.ci95[1]


def test_batch_size_does_not_matter(data: list) -> None:
    draw = np.random.default_rng(1)
    first, second = linear(draw.standard_normal((6, 3))), linear(draw.standard_normal((6, 3)))
    results = [
        evaluate(Scorer(first), Scorer(second), load_dataset(data, None), batch=size).model_dump()
        for size in (1, 50, 64)
    ]
    for key in ("n", "dense", "optimized", "drop", "ci95", "top1_agreement"):
        assert results[0][key] == results[1][key] == results[2][key]
    assert results[0]["kl_mean"] == pytest.approx(results[1]["kl_mean"], rel=1e-9)


@pytest.mark.parametrize(
    ("scores", "error"),
    [
        (lambda x: np.full((len(x), 3), np.nan), RuntimeFailed),
        (lambda x: np.zeros((len(x), 4, 3)), UnsupportedModel),
        (lambda x: np.zeros((len(x), 2)), DatasetNotFound),
    ],
)
def test_what_cannot_be_evaluated(data: list, scores: Scores, error: type[Exception]) -> None:
    with pytest.raises(error):
        evaluate(Scorer(scores), Scorer(scores), load_dataset(data, None))


def test_known_accuracy_of_a_real_model(measuring_data: Callable[[str], Path]) -> None:
    """The first 100 pictures, torch; all 650 give 82.46 % (bicubic, short side 227, centre crop 224)."""
    pytest.importorskip("transformers", reason="needs edgetok[hf]")
    import torch

    from edgetok.sources import load_model

    model = load_model(str(measuring_data("vit_tiny_in1k")))
    assert model.preprocessing is not None
    assert model.only.weights is not None
    module = model.only.module
    module.load_state_dict(model.only.weights(), strict=False, assign=True)

    def run(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(pixel_values=torch.from_numpy(x)).logits.numpy()

    class Vit(Scorer):
        input_names = ("pixel_values",)

        def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"logits": self.scores(inputs["pixel_values"])}

    change = {"size": None, "shortest_edge": 227, "crop": (224, 224)}
    dataset = load_dataset(
        measuring_data("imagenet_val"), model.preprocessing.model_copy(update=change), classes=model.labels, limit=100
    )
    result = evaluate(Vit(run), Vit(lambda x: run(x)[:, ::-1]), dataset)
    assert 75 <= result.dense <= 90
    assert result.optimized < 5
    assert result.ci95[0] > 60
