from __future__ import annotations

import numpy as np
import pytest
import torch

from edgetok.errors import RuntimeFailed
from edgetok.verify.mil import MilRunner

X = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def halves(write, tmp_path_factory):
    def body(mb, v):
        scaled = mb.mul(x=v["x"], y=np.float16(1 / 3))
        return mb.add(x=scaled, y=np.float16(1000), name="y"), mb.mul(x=v["n"], y=2, name="m")

    inputs = {"x": torch.zeros(2, 3, dtype=torch.float16), "n": torch.zeros(3, dtype=torch.int32)}
    return write(tmp_path_factory.mktemp("runner") / "halves.mlpackage", inputs, body)


def test_every_operation_rounds_to_the_declared_type(halves):
    found = MilRunner(halves)({"x": X.half().numpy(), "n": np.arange(3, dtype=np.int32)})
    third = (X.half().float() * torch.tensor(1 / 3).half().float()).half()
    assert found["y"].dtype == np.float16
    np.testing.assert_array_equal(found["y"], (third.float() + 1000).half().numpy())
    assert found["m"].dtype == np.int32
    assert found["m"].tolist() == [0, 2, 4]


def test_wider_inputs_are_narrowed(halves):
    runner = MilRunner(halves)
    narrow = runner({"x": X.half().numpy(), "n": np.arange(3, dtype=np.int32)})
    wide = runner({"x": X.numpy(), "n": np.arange(3)})
    assert all(np.array_equal(narrow[name], wide[name]) for name in narrow)


def test_names_are_in_order(halves):
    runner = MilRunner(halves)
    assert (runner.input_names, runner.output_names) == (("x", "n"), ("y", "m"))


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"x": X.numpy()}, "wrong inputs"),
        ({"x": X.numpy(), "n": np.arange(3), "z": np.arange(3)}, "wrong inputs"),
        ({"x": X.numpy()[:1], "n": np.arange(3)}, "another shape"),
        ({"x": X.numpy(), "n": np.array([0, 1, 2**40])}, "int32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(halves, inputs, why):
    with pytest.raises(RuntimeFailed, match=why):
        MilRunner(halves)(inputs)


def test_an_unknown_function_is_refused(halves):
    with pytest.raises(RuntimeFailed, match="no function 'other'"):
        MilRunner(halves, function="other")


def test_running_leaves_torch_threads_alone(halves):
    before = torch.get_num_threads()
    MilRunner(halves, threads=1)({"x": X.numpy(), "n": np.arange(3)})
    assert torch.get_num_threads() == before


def test_a_value_that_fp16_cannot_hold_becomes_infinite(write, tmp_path):
    path = write(
        tmp_path / "large.mlpackage",
        {"x": torch.zeros(2, dtype=torch.float16)},
        lambda mb, v: mb.mul(x=v["x"], y=np.float16(60000), name="y"),
    )
    assert MilRunner(path)({"x": np.array([1, 2], np.float16)})["y"].tolist() == [60000.0, np.inf]
