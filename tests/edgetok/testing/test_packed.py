"""Packed weights where no kernel takes them: bytes on disk, unpacked in every run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from edgetok.graph.program import Program, TensorSpec
from edgetok.ops.packed import WIDTHS
from edgetok.registry import installed
from edgetok.testing.packed import PackedCase, PackedProducts, packed_inputs


class Relu(PackedProducts):
    """The products, and something for the delegate behind them."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """One output for each case."""
        return tuple(torch.relu(each) for each in super().forward(x, y))


FURTHER = pytest.param("executorch-xnnpack", "executorch", marks=pytest.mark.exhaustive)
"""``tests/exporters/executorch/test_packed.py`` runs every width."""


@pytest.mark.parametrize(("name", "needs"), [FURTHER, ("cpu", "torch")])
def test_every_width_runs_and_stays_packed_on_disk(tmp_path, name, needs):
    pytest.importorskip(needs)
    cases = [PackedCase(bits, stack=2, rows=512) for bits in WIDTHS]
    inputs = packed_inputs()
    module = Relu(cases).eval()
    exported = torch.export.export(module, (), inputs).run_decompositions({})
    expected = module(**inputs)
    program = Program(
        name="model",
        exported=exported,
        inputs=tuple(TensorSpec(name, tuple(value.shape), "float32") for name, value in inputs.items()),
        outputs=tuple(TensorSpec(f"out{i}", tuple(value.shape), "float32") for i, value in enumerate(expected)),
        example=inputs,
        dynamic={},
    )
    target = installed().target(name)
    exporter = installed().exporter(target.exporter)
    made = exporter.export(program, target, tmp_path, stem="model", options=None, expose=())
    found = exporter.load(made.entry, threads=1)({name: value.numpy() for name, value in inputs.items()})
    for value, reference in zip(found.values(), expected, strict=True):
        assert np.abs(value - reference.numpy()).max() < 2e-6 * reference.abs().max()
    packed = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    floats = sum(case.stack * case.rows * case.columns * 4 for case in cases)
    assert made.entry.stat().st_size < packed + 0.5 * floats
