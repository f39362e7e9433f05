"""Small programs, the targets that come with edgetok, and exports that several tests look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import edgetok.ops  # noqa: F401  registers the primitives
from edgetok.graph.program import Program, TensorSpec
from edgetok.target import Target
from edgetok.target_file import load_target_file
from edgetok.testing import zoo
from edgetok.testing.reductions import Merge
from edgetok.testing.trial import Trial, run, subject

pytest.importorskip("coremltools", reason="Core ML packages are made by coremltools")


class Call(nn.Module):
    """A module that is one function of its named inputs."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.forward = function


def make_program(module: Any, inputs: Mapping[str, Tensor]) -> Program:
    """Capture a module, or a function that returns a tuple, of named tensors of a fixed batch."""
    module = module.eval() if isinstance(module, nn.Module) else Call(module)
    exported = torch.export.export(module, (), dict(inputs)).run_decompositions({})
    values = [node.meta["val"] for node in exported.graph.output_node().args[0]]
    return Program(
        name="model",
        exported=exported,
        inputs=tuple(TensorSpec(name, tuple(value.shape), _dtype(value)) for name, value in inputs.items()),
        outputs=tuple(TensorSpec(f"out{i}", tuple(value.shape), _dtype(value)) for i, value in enumerate(values)),
        example=dict(inputs),
        dynamic={},
    )


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


@pytest.fixture(scope="session")
def program() -> Callable[..., Program]:
    """:func:`make_program`."""
    return make_program


@pytest.fixture(scope="session")
def merged() -> Callable[[str], Program]:
    """A model of the zoo with merged tokens, by name."""
    return lru_cache(maxsize=None)(lambda name: Trial(Merge(), subject(getattr(zoo, name))).optimised)


@pytest.fixture(scope="session")
def target(repository: Path) -> Callable[..., Target]:
    """``target("coreml-gpu", reduce="gather")``: one that comes with edgetok, with other realisations."""

    def find(name: str = "coreml", **realisations: Any) -> Target:
        found = load_target_file(repository / "targets" / "edgetok_targets" / f"{name}.toml")
        changed = found.realisations.model_copy(update=realisations)
        return found.model_copy(update={"realisations": changed})

    return find


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """``package(program, target, dtype="fp32")``: what the exporter made of a program."""
    from edgetok_exporters.coreml import CoreMLExporter, Options

    def export(program: Program, target: Target, *, expose: Any = (), **options: Any) -> Any:
        chosen = Options(**{**target.options, **options})
        directory = tmp_path_factory.mktemp("coreml")
        return CoreMLExporter().export(program, target, directory, options=chosen, expose=expose)

    return export


@pytest.fixture(scope="session")
def difference() -> Callable[..., float]:
    """``difference(entry, program, batch=2)``: how far a package is from torch, relative to the peak, at worst."""
    from edgetok.verify.mil import MilRunner

    def worst(entry: Path, program: Program, *, batch: int = 1, reference: Program | None = None) -> float:
        inputs = {name: value[:batch] for name, value in program.example.items()}
        found = MilRunner(entry, threads=1)({name: np.asarray(value) for name, value in inputs.items()})
        want = run(reference or program, inputs)
        assert [found[spec.name].shape for spec in program.outputs] == [tuple(value.shape) for value in want]
        return max(
            float(np.abs(found[spec.name].astype(np.float64) - value.numpy()).max() / value.abs().max())
            for spec, value in zip(program.outputs, want, strict=True)
        )

    return worst
