"""One-op ML programs: built by coremltools, written to disk, read back and evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgetok.silence import quiet


@dataclass(frozen=True)
class OpCase:
    """One operation: how coremltools builds it from the shared inputs, and what torch says it is."""

    id: str
    kind: str
    build: Callable[[Any, Mapping[str, Any]], Any]
    expect: Callable[[Mapping[str, Tensor]], Tensor]


def write_program(path: Path, inputs: Mapping[str, Tensor], body: Callable[[Any, Mapping[str, Any]], Any]) -> Path:
    """An ML program for iOS 18 as it is written, without coremltools' optimisations."""
    ct = pytest.importorskip("coremltools", reason="ML programs are built by coremltools")
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    kinds = {torch.float32: types.fp32, torch.float16: types.fp16, torch.int32: types.int32}
    specs = [mb.TensorSpec(tuple(value.shape), dtype=kinds[value.dtype]) for value in inputs.values()]
    names = ", ".join(inputs)
    scope: dict[str, Any] = {"body": body, "mb": mb}
    exec(f"def function({names}):\n    return body(mb, dict({', '.join(f'{n}={n}' for n in inputs)}))", scope)
    with quiet():
        program = mb.program(input_specs=specs, opset_version=ct.target.iOS18)(scope["function"])
        model = ct.convert(
            program,
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT32,
            minimum_deployment_target=ct.target.iOS18,
            pass_pipeline=ct.PassPipeline.EMPTY,
            skip_model_load=True,
        )
        model.save(str(path))
    return path


@dataclass(frozen=True)
class Evaluated:
    """What a program of many cases gave, and what was in it."""

    outputs: Mapping[str, np.ndarray]
    kinds: frozenset[str]


@pytest.fixture(scope="module")
def evaluated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """All ``CASES`` of a test module on its ``INPUTS``, as one program with one output per case."""
    from edgetok.verify.mil import MilRunner

    cases, inputs = request.module.CASES, request.module.INPUTS

    def body(mb: Any, values: Mapping[str, Any]) -> Any:
        made = [case.build(mb, values) for case in cases]
        return tuple(mb.identity(x=_number(mb, value), name=f"out_{i}") for i, value in enumerate(made))

    path = write_program(tmp_path_factory.mktemp("mil") / "ops.mlpackage", inputs, body)
    runner = MilRunner(path)
    found = runner({name: value.numpy() for name, value in inputs.items()})
    outputs = {case.id: found[f"out_{i}"] for i, case in enumerate(cases)}
    return Evaluated(outputs, frozenset(step.kind for step in runner.function.operations))


def _number(mb: Any, value: Any) -> Any:
    """Truth values as integers: they cannot be outputs."""
    return mb.cast(x=value, dtype="int32") if value.is_tensor_or_scalar_of(dtype="bool") else value


@pytest.fixture
def agrees(evaluated: Evaluated) -> Callable[[Any, Mapping[str, Tensor]], None]:
    """``agrees(case, inputs)``: the interpreter's value is torch's, to rounding in fp32."""

    def check(case: OpCase, inputs: Mapping[str, Tensor]) -> None:
        assert case.kind in evaluated.kinds, f"{case.kind} is not in the program that was written"
        found, want = torch.from_numpy(np.array(evaluated.outputs[case.id])), case.expect(inputs)
        assert found.shape == want.shape
        if want.is_floating_point():
            torch.testing.assert_close(found, want, rtol=2e-5, atol=2e-6)
        else:
            assert torch.equal(found.long(), want.long())

    return check


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """:func:`write_program`."""
    return write_program
