"""Packed weights in ExecuTorch files: packed on disk, right in the runtime, products inside the delegate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgetok.graph import capture
from edgetok.model import Component
from edgetok.registry import installed
from edgetok.session.variants import Variant
from edgetok.session.weight_bytes import size_note
from edgetok.testing.packed import PackedCase, PackedProducts, packed_inputs
from edgetok_exporters.executorch import ExecutorchExporter
from edgetok_exporters.executorch.measure import same_bytes, tables

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


def test_tables_are_no_weights_where_the_delegate_takes_them(tmp_path):
    """Vulkan's partitioner takes constants out of the program that is lowered."""
    program = capture(Component("products", PackedProducts(CASES[1:2]).eval(), packed_inputs()))
    exported = ExecutorchExporter().export(program, installed().target("executorch-vulkan"), tmp_path)
    given = sum(tensor.numel() * tensor.element_size() for tensor in program.exported.state_dict.values())
    assert given <= exported.weights < given + 256


def test_weights_in_a_delegates_own_blob_are_not_told(tmp_path):
    """Not as nothing: 0 bytes would be a file without weights."""
    pytest.importorskip("coremltools")
    program = capture(Component("products", PackedProducts(CASES[3:4]).eval(), packed_inputs()))
    exported = ExecutorchExporter().export(program, installed().target("executorch-coreml"), tmp_path)
    assert exported.delegation.partitions == 1
    assert exported.weights is None
    assert "the model's files take" in size_note(Variant(program, exported, ExecutorchExporter()), "fp32")


def test_where_nothing_is_packed_nothing_is_counted():
    program = capture(Component("plain", torch.nn.Linear(2, 2), {"input": torch.ones(1, 2)}))
    assert tables(program, program.exported) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int64])
def test_tables_of_any_dtype_are_known_again(dtype):
    table = torch.tensor([[0, 1], [0, 0]]).to(dtype)
    stored = bytes(table.untyped_storage())
    assert same_bytes(stored, table)
    assert not same_bytes(stored[::-1], table)
    assert not same_bytes(stored[1:], table)
    assert same_bytes(stored[: dtype.itemsize], table[0, 0])
