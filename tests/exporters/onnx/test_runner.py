"""Loading and running: names, threads, and errors that say what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgetok.errors import RuntimeFailed
from edgetok.exporter import Runner
from edgetok_exporters.onnx import OnnxExporter


@pytest.fixture
def runner(capture, trip):
    return trip(capture(lambda x, y: (x @ y,), {"x": torch.randn(2, 3, 4), "y": torch.randn(2, 4, 5)}), threads=1)


def test_it_is_a_runner_with_named_arrays(runner):
    assert isinstance(runner, Runner)
    x, y = np.ones((1, 3, 4), np.float32), np.ones((1, 4, 5), np.float32)
    assert (runner({"y": y, "x": x})["out0"] == 4).all()
    assert (runner({"y": y, "x": x[:, :, ::-1]})["out0"] == 4).all()


def test_threads_are_settable(capture, trip):
    program = capture(lambda x: (x + 1,), {"x": torch.randn(2, 3)})
    assert trip(program, threads=2).session.get_session_options().intra_op_num_threads == 2


def test_wrong_names_shapes_and_dtypes_are_errors(runner):
    x, y = np.ones((1, 3, 4), np.float32), np.ones((1, 4, 5), np.float32)
    with pytest.raises(RuntimeFailed, match="given: x"):
        runner({"x": x})
    with pytest.raises(RuntimeFailed, match=r"model\.onnx"):
        runner({"x": x, "y": y.astype(np.float64)})
    with pytest.raises(RuntimeFailed, match="cannot run"):
        runner({"x": x, "y": y[:, :2]})


def test_a_broken_file_is_an_error(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(RuntimeFailed, match=r"broken\.onnx") as caught:
        OnnxExporter().load(path)
    assert caught.value.code == "ET405"
