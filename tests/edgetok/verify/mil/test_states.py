"""States of an ML program that coremltools built, read back from disk."""

from __future__ import annotations

import numpy as np
import pytest

from edgetok.errors import RuntimeFailed
from edgetok.silence import quiet
from edgetok.verify.mil import MilRunner
from edgetok.verify.mil.states import STATES_KEY, WRITE

KINDS = {"read_state", WRITE}
"""Operations that are tested here."""
X = np.array([[1.0, 2.0, 4.0]], np.float16)


@pytest.fixture(scope="module")
def model():
    """A running sum: ``y = 2 * held`` with what was held before ``x`` was added, and with what is held after."""
    ct = pytest.importorskip("coremltools", reason="ML programs are built by coremltools")
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    specs = [mb.TensorSpec((1, 3), dtype=types.fp16), mb.StateTensorSpec((1, 3), dtype=types.fp16)]

    @mb.program(input_specs=specs, opset_version=ct.target.iOS18)
    def running(x, held):
        before = mb.read_state(input=held)
        after = mb.coreml_update_state(state=held, value=mb.add(x=before, y=x))
        again = mb.read_state(input=held)
        return mb.add(x=before, y=before, name="old"), mb.add(x=after, y=again, name="new")

    with quiet():
        return ct.convert(
            running, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS18, skip_model_load=True,
            pass_pipeline=ct.PassPipeline.EMPTY,
        )  # fmt: skip


@pytest.fixture
def runner(model, tmp_path):
    model.save(str(tmp_path / "m.mlpackage"))
    return MilRunner(tmp_path / "m.mlpackage")


def test_a_state_is_zero_at_first_and_kept_between_calls(runner):
    assert {step.kind for step in runner.function.operations} >= KINDS
    assert (runner.input_names, runner.output_names) == (("x", "held"), ("old", "new", "held"))
    for count in range(3):
        found = runner({"x": X})
        np.testing.assert_array_equal(found["old"], 2 * count * X)
        np.testing.assert_array_equal(found["new"], 2 * (count + 1) * X)
        np.testing.assert_array_equal(found["held"], (count + 1) * X)


def test_a_state_that_is_given_is_an_input_like_others(runner):
    runner({"x": X})
    found = runner({"x": X, "held": np.full((1, 3), 10, np.float32)})
    np.testing.assert_array_equal(found["held"], X + 10)
    assert found["held"].dtype == np.float16
    np.testing.assert_array_equal(runner({"x": X})["held"], 2 * X + 10)


def test_shapes_and_names_are_checked(runner):
    with pytest.raises(RuntimeFailed, match="another shape"):
        runner({"x": X, "held": np.zeros((1, 4))})
    with pytest.raises(RuntimeFailed, match="wrong inputs"):
        runner({"held": np.zeros((1, 3))})


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"other": "y"}'])
def test_a_package_that_does_not_say_what_a_state_is_next_is_refused(model, tmp_path, text):
    model.user_defined_metadata[STATES_KEY] = text
    model.save(str(tmp_path / "m.mlpackage"))
    with pytest.raises(RuntimeFailed, match="states are next"):
        MilRunner(tmp_path / "m.mlpackage")
