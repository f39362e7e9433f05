from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from edgetok.errors import BadCommand, DatasetNotFound
from edgetok.evaluate.dataset import Samples
from edgetok.plugin import WeightPlugin
from edgetok.recipe_file import make_recipe
from edgetok.registry import installed
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


def prepared(program, samples, *plugins, batch="dynamic", target="onnx-cpu"):
    chosen, target = Chosen(samples) if samples else None, installed().target(target)
    tools = SimpleNamespace(precision=chosen, options=SimpleNamespace(batch=batch), plugins=plugins, target=target)
    return SimpleNamespace(tools=tools, program=program, model=SimpleNamespace(preprocessing=None, labels=()))


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


@pytest.fixture
def given(program, tmp_path, monkeypatch):
    """A recipe that calibrates on samples of its own, of which the eighth is the first of ``labelled``."""
    spec = program.inputs[0]
    (tmp_path / "calibration_samples.py").write_text(
        "import numpy as np\n"
        "def draw(seed, n):\n"
        f"    rng, shape = np.random.default_rng(seed), {spec.shape[1:]}\n"
        f"    return [({{{spec.name!r}: rng.standard_normal(shape, dtype=np.float32)}}, 0) for _ in range(n)]\n"
        "def eighth_shared():\n"
        "    return draw(1, 7) + draw(0, 1) + draw(2, 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return make_recipe({"model": "m", "calibration": {"data": "calibration_samples:eighth_shared"}}, source="test")


def test_samples_that_calibrate_and_are_evaluated_are_refused(program, given):
    with pytest.raises(BadCommand, match="overlap") as caught:
        find_calibration(prepared(program, 8), given, labelled(program, 9))
    assert caught.value.why.startswith("1 sample is among the 8 of calibration_samples:eighth_shared")
    assert "the 9 of mine that are evaluated" in caught.value.why
    assert "different data" in caught.value.hint


def test_only_samples_that_are_used_are_kept_apart(program, given):
    data = labelled(program, 9)
    for made in (prepared(program, 7), prepared(program, 8, batch=7)):  # whole batches of seven: one
        found, rest = find_calibration(made, given, data)
        assert sum(len(next(iter(batch.values()))) for batch in found.batches) == 7
        assert rest is data
    later = data.part(1)
    assert find_calibration(prepared(program, 10), given, later)[1] is later


def test_what_is_not_evaluated_here_does_not_clash(program, given):
    unproven = "executorch-vulkan"
    assert installed().target(unproven).proof not in ("run", "simulated")
    find_calibration(prepared(program, 8, target=unproven), given, labelled(program, 9))
