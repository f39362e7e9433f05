from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgetok.errors import DatasetNotFound
from edgetok.evaluate import load_dataset
from edgetok.graph import TensorSpec, capture
from edgetok.model import Component
from edgetok.session.inputs import Fitted, Samples, seeded
from edgetok.testing import zoo
from edgetok.testing.trial import subject


@pytest.fixture(scope="module")
def bert():
    return subject(zoo.bert).program


def test_seeded_inputs_are_repeatable_and_fit(bert):
    made = seeded(bert, 5, 0)
    assert {name: (array.shape, str(array.dtype)) for name, array in made.items()} == {
        "input_ids": ((5, 24), "int64"),
        "attention_mask": ((5, 24), "int64"),
    }
    again, other = seeded(bert, 5, 0), seeded(bert, 5, 1)
    assert all(np.array_equal(made[name], again[name]) for name in made)
    assert not np.array_equal(made["input_ids"], other["input_ids"])
    assert made["input_ids"].min() >= 1
    assert made["input_ids"].max() < 64


def test_masks_are_ones_then_zeros(bert):
    mask = seeded(bert, 64, 0)["attention_mask"]
    assert (np.diff(mask, axis=1) <= 0).all()
    assert mask.sum(1).min() >= 12
    assert len(set(mask.sum(1).tolist())) > 4


def test_only_the_batch_axis_changes():
    program = subject(zoo.symbolic_tokens).program
    assert seeded(program, 5, 0)["x"].shape == (5, 24, 32)


def test_an_input_without_a_batch_stays_as_it_is():
    class Scaled(torch.nn.Module):
        def forward(self, x, scale):
            return x * scale

    inputs = {"x": torch.randn(2, 3), "scale": torch.randn(3)}
    program = capture(Component("scaled", Scaled(), inputs, {"x": {0: "batch"}}))
    made = seeded(program, 4, 0)
    assert (made["x"].shape, made["scale"].shape) == ((4, 3), (3,))
    assert [batch["scale"].shape for batch in Samples(made, frozenset({"x"})).batches(2)] == [(3,), (3,)]


@given(n=st.integers(1, 9), size=st.integers(1, 9))
def test_every_sample_is_in_a_batch_and_every_batch_is_full(n, size):
    batches = Samples({"x": np.arange(n), "y": np.arange(2)}, frozenset({"x"})).batches(size)
    assert {len(batch["x"]) for batch in batches} == {size}
    together = np.concatenate([batch["x"] for batch in batches])
    assert together[:n].tolist() == list(range(n))
    assert len(together) < n + size
    assert all(batch["y"].tolist() == [0, 1] for batch in batches)


@given(n=st.integers(1, 9), batch=st.integers(1, 30))
def test_samples_are_repeated_or_cut(n, batch):
    assert Samples({"x": np.arange(n)}, frozenset({"x"})).filled(batch)["x"].tolist() == [i % n for i in range(batch)]


SPECS = (TensorSpec("x", ("batch", 2), "float32"), TensorSpec("ids", ("batch", 2), "int64"))
GOOD: Mapping[str, object] = {"x": np.zeros(2), "ids": [1, 2]}


def fitted(sample):
    return Fitted(load_dataset([(sample, 0)], None), SPECS)


def test_labelled_samples_are_cast_and_others_left_out():
    ((arrays, labels),) = fitted({**GOOD, "more": 1}).batches(4)
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        "x": ("float32", (1, 2)),
        "ids": ("int64", (1, 2)),
    }
    assert labels.tolist() == [0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": np.zeros(3)}, "has shape (3,) per sample, wanted (2,)"),
        ({"x": np.zeros((2, 1))}, "has shape (2, 1)"),
        ({"ids": [0.5, 1]}, "'ids' is float64, wanted int64"),
        ({"x": ["a", "b"]}, "wanted float32"),
    ],
)
def test_samples_that_do_not_fit(change, says):
    with pytest.raises(DatasetNotFound) as caught:
        list(fitted({**GOOD, **change}).batches(1))
    assert says in caught.value.why
    assert "x float32" in caught.value.hint


def test_a_missing_input_is_named():
    with pytest.raises(DatasetNotFound) as caught:
        list(fitted({"x": np.zeros(2)}).batches(1))
    assert caught.value.why == "there is no 'ids'; it gives x"
