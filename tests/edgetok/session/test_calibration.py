from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from edgetok.errors import DatasetNotFound
from edgetok.evaluate.dataset import Samples
from edgetok.plugin import WeightPlugin
from edgetok.recipe_file import make_recipe
from edgetok.session.calibration import find_calibration
from edgetok.session.inputs import Fitted
from edgetok.testing import zoo
from edgetok.testing.trial import subject


@dataclass(frozen=True)
class Chosen:
    samples: int


@pytest.fixture(scope="module")
def program():
    return subject(zoo.transformer_encoder).program


class Weights(WeightPlugin):
    name: ClassVar[str] = "weights"
    summary: ClassVar[str] = "for tests"
    paper: ClassVar[str] = "none"

    def calibration_samples(self):
        return 7


def prepared(program, samples, *plugins):
    chosen = Chosen(samples) if samples else None
    tools = SimpleNamespace(precision=chosen, options=SimpleNamespace(), plugins=plugins)
    return SimpleNamespace(tools=tools, program=program)


def labelled(program, n):
    rng = np.random.default_rng(0)
    spec = program.inputs[0]
    drawn = [({spec.name: rng.standard_normal(spec.shape[1:], dtype=np.float32)}, i) for i in range(n)]
    return Fitted(Samples("mine", tuple(drawn)), program.inputs)


RECIPE = make_recipe({"model": "m"}, source="test")


def test_nothing_is_taken_where_nothing_is_calibrated(program):
    data = labelled(program, 9)
    found, rest = find_calibration(prepared(program, 0), RECIPE, data)
    assert (found.batches, found.how, rest) == ((), "", data)


def test_a_plugin_that_rewrites_weights_gets_as_many_as_it_wants(program):
    found, rest = find_calibration(prepared(program, 0, Weights()), RECIPE, labelled(program, 9))
    assert sum(len(next(iter(batch.values()))) for batch in found.batches) == 7
    assert len(rest) == 2


def test_evaluation_samples_that_calibrate_are_not_evaluated(program):
    data = labelled(program, 30)
    found, rest = find_calibration(prepared(program, 20), RECIPE, data)
    assert sum(len(next(iter(batch.values()))) for batch in found.batches) == 20
    assert len(rest) == 10
    name = program.inputs[0].name
    used = np.concatenate([batch[name] for batch in found.batches])
    kept = np.concatenate([arrays[name] for arrays, _ in rest.batches(4)])
    whole = np.concatenate([arrays[name] for arrays, _ in data.batches(30)])
    assert np.array_equal(np.concatenate([used, kept]), whole)
    assert "not evaluated" in found.how


def test_too_little_data_is_an_error(program):
    with pytest.raises(DatasetNotFound, match="too small"):
        find_calibration(prepared(program, 20), RECIPE, labelled(program, 20))


def test_generated_inputs_are_confessed(program):
    found, rest = find_calibration(prepared(program, 5), RECIPE, None)
    assert rest is None
    assert "generated" in found.how
    assert sum(len(next(iter(batch.values()))) for batch in found.batches) >= 5
