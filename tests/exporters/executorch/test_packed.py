"""Packed weights in ExecuTorch files: packed on disk, right in the runtime, products inside the delegate."""

from __future__ import annotations

import numpy as np
import pytest

from edgetok.graph import capture
from edgetok.model import Component
from edgetok.registry import installed
from edgetok.testing.packed import PackedCase, PackedProducts, packed_inputs
from edgetok_exporters.executorch import ExecutorchExporter

CASES = [
    PackedCase(1, stack=3, zero=False),
    PackedCase(2, 50, 16),
    PackedCase(3, stack=4, shared=False),
    PackedCase(4),
    PackedCase(8, stack=3),
]
"""Every width and way of stacking, stored zero points and none, and a last group that is shorter."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The program, its file and where operations were placed."""
    program = capture(Component("products", PackedProducts(CASES).eval(), packed_inputs()))
    target = installed().target("executorch-xnnpack")
    return program, ExecutorchExporter().export(program, target, tmp_path_factory.mktemp("packed"))


def test_every_width_computes_what_torch_does(made):
    program, exported = made
    found = ExecutorchExporter().load(exported.entry, threads=1)({n: v.numpy() for n, v in program.example.items()})
    for value, reference in zip(found.values(), program.exported.module()(**program.example), strict=True):
        assert value.shape == tuple(reference.shape)
        assert np.abs(value - reference.numpy()).max() < 2e-6 * reference.abs().max()


def test_the_file_holds_the_bytes_and_a_table_for_each_width(made):
    """Equal tables once: 1 and 3 bits share one of 8 KiB, 2 and 4 bits have 4 and 2 KiB."""
    program, exported = made
    given = sum(tensor.numel() * tensor.element_size() for tensor in program.exported.state_dict.values())
    assert given <= exported.weights < given + 256
    tables = (np.arange(256)[:, None] >> np.arange(0, 8, step) & ((1 << step) - 1) for step in (1, 2, 4))
    file = exported.entry.read_bytes()
    assert all(file.count(table.astype(np.float32).tobytes()) == 1 for table in tables)


def test_what_stays_outside_the_delegate_is_copies_and_tables(made):
    outside = made[1].delegation.outside
    assert set(outside) <= {"_to_dim_order_copy", "embedding"}
    assert outside["embedding"] == sum(case.bits < 8 for case in CASES)
