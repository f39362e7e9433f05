"""Packed experts against the model's, before anything is made of them."""

from __future__ import annotations

import pytest
import torch

from edgetok.errors import BrokenWeights
from edgetok_plugins.mc_moe.experts.find import find_blocks
from edgetok_plugins.mc_moe.experts.stacks import read_stacks
from edgetok_plugins.mc_moe.grid import round_to_nearest
from edgetok_plugins.mc_moe.packing import stack

BITS = (2, 1, 2, 2)


@pytest.fixture(scope="module")
def given(build):
    block = find_blocks(build("Olmoe", "ForCausalLM", num_hidden_layers=1))[0]
    tensors = {f"{block.name}.bits": torch.tensor(BITS, dtype=torch.uint8)}
    for name in ("up", "down"):
        for width in {*BITS}:
            members = [block.form.matrix(e, name).contiguous() for e, bits in enumerate(BITS) if bits == width]
            made = stack([round_to_nearest(matrix, bits=width, group=8) for matrix in members])
            tensors |= made.tensors(f"{block.name}.{name}.w{width}")
    return block, tensors


def test_experts_come_by_width(given):
    block, tensors = given
    found = read_stacks(tensors, block)
    assert found.bits == BITS
    assert {width: weight.stacked for width, weight in found.weights["down"].items()} == {1: (1,), 2: (3,)}
    assert found.pruning is None


@pytest.mark.parametrize(
    "bits",
    [
        torch.tensor(2),
        torch.tensor([BITS]),
        torch.tensor(BITS).float(),
        torch.full((4,), torch.nan),
        torch.ones(4, dtype=torch.bool),
        torch.tensor(BITS[:3]),
        torch.empty(0, dtype=torch.uint8),
        -torch.tensor(BITS),
        torch.tensor([2, 1, 2, 7]),
        torch.tensor([2, 1, 2, 2**62]),
        torch.tensor([1, 1, 2, 2]),
        None,
    ],
    ids=["scalar", "2-D", "float", "nan", "bool", "short", "empty", "negative", "seven", "huge", "others", "none"],
)
def test_widths_that_are_none_are_refused(given, bits):
    block, tensors = given
    key = f"{block.name}.bits"
    spoilt = {name: value for name, value in tensors.items() if name != key} | ({} if bits is None else {key: bits})
    with pytest.raises(BrokenWeights):
        read_stacks(spoilt, block)


def test_a_stack_of_another_width_is_refused(given):
    block, tensors = given
    other = {name.replace(".w2.", ".w3."): value for name, value in tensors.items()}
    other[f"{block.name}.bits"] = torch.tensor([3, 1, 3, 3])
    with pytest.raises(BrokenWeights, match="do not fit"):
        read_stacks(other, block)
