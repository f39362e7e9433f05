"""Values that are returned twice, as check builds do that expose an output or a value and its copy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgetok.verify.checkbuild import CheckBuild
from edgetok.verify.mil import MilRunner
from edgetok_exporters.coreml import Options


@pytest.fixture(scope="module")
def doubled(program):
    def body(x):
        y = x.sin() * 2
        return y, y.clone() + 1

    return program(body, {"x": torch.randn(2, 3)})


def test_an_output_that_is_exposed_as_well_is_found(doubled, target, package):
    """coreml once left such a name out of the package, and looking for a diverging module ended in a KeyError."""
    returned = [node.name for node in doubled.exported.graph.output_node().args[0]]
    inner = next(node.name for node in doubled.graph.nodes if "sin" in node.name)
    made = package(doubled, target("coreml-gpu"), expose=[*returned, inner], batch=2)
    build = CheckBuild(MilRunner(made.entry), made.exposed, ("out0", "out1"))
    outputs, values = build({"x": doubled.example["x"].numpy()})
    assert set(outputs) == {"out0", "out1"}
    np.testing.assert_array_equal(values[returned[0]][0], outputs["out0"])
    np.testing.assert_array_equal(values[returned[1]][0], outputs["out1"])
    np.testing.assert_allclose(2 * values[inner][0], outputs["out0"], rtol=1e-6)


def test_lists_are_read_from_text():
    read = Options.model_validate({"batches": "2,4", "image_mean": "0.1,0.2,0.3"})
    assert (read.batches, read.image_mean) == ((2, 4), (0.1, 0.2, 0.3))
