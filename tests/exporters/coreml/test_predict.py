"""Core ML itself, where it is."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "darwin", reason="Core ML runs on macOS only")


@pytest.fixture(scope="module")
def runner(merged, target, package):
    from edgetok_exporters.coreml.predict import PredictRunner

    return PredictRunner(package(merged("vit"), target("coreml-gpu")).entry)


def test_core_ml_and_the_interpreter_agree(runner, merged):
    from edgetok.verify.mil import MilRunner

    inputs = {name: value[:1].numpy() for name, value in merged("vit").example.items()}
    found, want = runner(inputs), MilRunner(runner.entry)(inputs)
    for name in runner.output_names:
        np.testing.assert_allclose(found[name], want[name], rtol=1e-3, atol=1e-3)


def test_the_compute_plan_places_every_operation(runner):
    assert sum(runner.placed().values()) > 0
