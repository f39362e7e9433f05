"""Small programs, and their round trip through a file and onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import edgetok.ops  # noqa: F401  registers the primitives
from edgetok.graph.program import Program, TensorSpec
from edgetok.target import Realisations, Target
from edgetok_exporters.onnx import OnnxExporter, Options


class Call(nn.Module):
    """A module that is one function of its named inputs."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.forward = function


def make_program(module: Any, inputs: Mapping[str, Tensor], *, dynamic: bool = True) -> Program:
    """Capture a module, or a function, of named tensors whose first axis is the batch."""
    module = module.eval() if isinstance(module, nn.Module) else Call(module)
    axes = {name: {0: "batch"} for name in inputs} if dynamic else {}
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes: Any = {name: {0: batch} for name in inputs} if dynamic else None
    exported = torch.export.export(module, (), dict(inputs), dynamic_shapes=shapes).run_decompositions({})
    values = [node.meta["val"] for node in exported.graph.output_node().args[0]]
    return Program(
        name="model",
        exported=exported,
        inputs=tuple(
            TensorSpec(name, tuple(axes.get(name, {}).get(i, n) for i, n in enumerate(value.shape)), _dtype(value))
            for name, value in inputs.items()
        ),
        outputs=tuple(_output(i, value) for i, value in enumerate(values)),
        example=dict(inputs),
        dynamic=axes,
    )


def _output(index: int, value: Tensor) -> TensorSpec:
    shape = tuple(n if isinstance(n, int) else "batch" for n in value.shape)
    return TensorSpec(f"out{index}", shape, _dtype(value))


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def target(**realisations: Any) -> Target:
    """A target that runs ONNX here, with the realisations given."""
    return Target(
        name="here",
        summary="onnxruntime here",
        exporter="onnx",
        runtime="onnxruntime",
        dtypes=("fp32", "fp16"),
        realisations=Realisations(**realisations),
    )


class RoundTrip:
    """``trip(program, match="sort-free", functions="keep")`` is a runner; the file is ``trip.exported.entry``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.exporter = OnnxExporter()

    def __call__(self, program: Program, *, expose: Sequence[str] = (), threads: int = 1, **settings: Any) -> Any:
        wanted = {key: settings.pop(key) for key in list(settings) if key in Realisations.model_fields}
        self.exported = self.exporter.export(
            program, target(**wanted), self.directory, options=Options(**settings), expose=expose
        )
        return self.exporter.load(self.exported.entry, threads=threads)


@pytest.fixture
def trip(tmp_path: Path) -> RoundTrip:
    return RoundTrip(tmp_path)


@pytest.fixture
def capture() -> Any:
    return make_program


@pytest.fixture
def here() -> Any:
    return target


def arrays(inputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in inputs.items()}


@pytest.fixture
def agree() -> Any:
    """``agree(runner, program, inputs, atol)``: onnxruntime and torch, output by output; integers exactly."""

    def check(runner: Any, program: Program, inputs: Mapping[str, Tensor], atol: float = 0.0) -> None:
        found = list(runner(arrays(inputs)).values())
        with torch.no_grad():
            expected = program.exported.module()(**inputs)
        for value, reference in zip(found, expected, strict=True):
            assert value.dtype == reference.numpy().dtype
            assert value.shape == tuple(reference.shape)
            if reference.is_floating_point() and atol:
                np.testing.assert_allclose(value, reference.numpy(), rtol=0, atol=atol)
            else:
                np.testing.assert_array_equal(value, reference.numpy())

    return check
