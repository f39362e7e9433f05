from typing import ClassVar

import numpy as np
import pytest

from edgetok.errors import ModelNotFound, NothingToRewrite, TargetRefuses
from edgetok.plugin import PrecisionPlugin
from edgetok.precision import Precision, TensorFormat
from edgetok.recipe_file import make_recipe
from edgetok.session import optimize
from edgetok.session.precision import choose
from edgetok.target import Target
from edgetok.testing import zoo
from edgetok.testing.trial import subject


class Fewer(PrecisionPlugin):
    """Weights in eight bits, for these tests."""

    name: ClassVar[str] = "fewer"
    summary: ClassVar[str] = "Fewer bits."
    paper: ClassVar[str] = "None"
    found: tuple[str, ...] = ("a.weight",)

    def schemes(self):
        return ("int8-weights", "int8-static")

    def formats(self, program):
        return {name: TensorFormat("int8") for name in self.found}

    def calibration_samples(self, scheme):
        return 5 if scheme == "int8-static" else 0


def target(*precisions):
    return Target(name="t", summary="a b c", exporter="e", runtime="r", precisions=precisions)


def test_the_target_prefers():
    assert choose([Fewer()], target("int4-weights", "int8-static", "int8-weights")).scheme == "int8-static"
    assert choose([Fewer()], target("int8-weights", "int8-static")).samples == 0
    assert choose([], target("int8-weights")) is None


def test_a_target_without_the_scheme_refuses_and_says_what_it_runs():
    with pytest.raises(TargetRefuses) as refused:
        choose([Fewer()], target("int4-weights"))
    assert "int8-weights, int8-static" in refused.value.why
    assert "int4-weights" in refused.value.why
    with pytest.raises(TargetRefuses, match="no quantised model"):
        choose([Fewer()], target())


def test_what_is_declared_is_in_the_program():
    chosen = choose([Fewer()], target("int8-static"))
    batch = {"x": np.zeros(1)}
    given = subject(zoo.transformer_encoder).program
    declared = chosen.declare(given, [batch])
    assert declared.precision == Precision("int8-static", {"a.weight": TensorFormat("int8")}, (batch,))
    assert declared.precision.needs_calibration
    assert given.precision is None


def test_nothing_to_quantise_is_an_error():
    with pytest.raises(NothingToRewrite, match="found no place"):
        choose([Fewer(found=())], target("int8-weights")).declare(subject(zoo.transformer_encoder).program)


def test_rounding_that_the_target_does_not_do_is_refused_before_anything_is_loaded():
    recipe = {"model": "no such model", "exporter": {"packed_activations": "int8"}}
    with pytest.raises(TargetRefuses, match="onnx-web") as refused:
        optimize(make_recipe({**recipe, "target": "onnx-web"}), dry_run=True)
    assert (refused.value.code, "packed_activations" in refused.value.hint) == ("ET206", True)
    with pytest.raises(ModelNotFound):
        optimize(make_recipe({**recipe, "target": "onnx-cpu"}), dry_run=True)
