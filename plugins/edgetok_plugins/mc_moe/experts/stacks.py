"""The packed matrices of one block, checked against the model's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from edgetok.errors import BrokenWeights
from edgetok_plugins.mc_moe.bits import WIDTHS
from edgetok_plugins.mc_moe.experts.find import Block
from edgetok_plugins.mc_moe.experts.form import MATRICES, MatrixName
from edgetok_plugins.mc_moe.odp import Pruning
from edgetok_plugins.mc_moe.packing import PackedWeight

_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class Stacks:
    """What compression made of the experts of a block.

    Attributes:
        bits: the width of each expert.
        weights: for each matrix and width the experts of that width, in ascending order.
        pruning: which calls are left out; ``None`` for none.
    """

    bits: tuple[int, ...]
    weights: Mapping[MatrixName, Mapping[int, PackedWeight]]
    pruning: Pruning | None


def read_stacks(tensors: Mapping[str, Tensor], block: Block) -> Stacks:
    """The experts of ``block`` out of ``EXPERTS.bits``, ``EXPERTS.up.w2.*`` and ``EXPERTS.odp``.

    Raises:
        BrokenWeights: a tensor is missing or malformed, or they do not fit the model.
    """
    bits = _widths(tensors.get(f"{block.name}.bits"), block)
    weights = {
        name: {width: _stack(tensors, block, name, width, bits) for width in sorted({*bits})} for name in MATRICES
    }
    return Stacks(bits, weights, Pruning.read(tensors, block.name))


def _widths(stored: Tensor | None, block: Block) -> tuple[int, ...]:
    if stored is None:
        raise BrokenWeights(f"{block.name} has no packed experts.", why=f"there is no {block.name}.bits")
    if stored.dtype not in _WHOLE or stored.shape != (block.form.count,):
        why = f"{stored.dtype} {tuple(stored.shape)}, expected whole numbers for {block.form.count} experts"
        raise BrokenWeights(f"{block.name}.bits does not fit the model.", why=why)
    bits = tuple(int(width) for width in stored.tolist())
    if unknown := sorted({*bits} - {*WIDTHS}):
        raise BrokenWeights(f"{block.name}.bits is malformed.", why=f"{unknown[0]} bits; widths are {WIDTHS}")
    return bits


def _stack(
    tensors: Mapping[str, Tensor], block: Block, name: MatrixName, width: int, bits: tuple[int, ...]
) -> PackedWeight:
    weight = PackedWeight.from_tensors(tensors, f"{block.name}.{name}.w{width}")
    found = (weight.bits, *weight.stacked, *weight.shape)
    expected = (width, bits.count(width), *block.form.shape(name))
    if found != expected:
        why = f"(bits, experts, out, in) is {found}, expected {expected}"
        raise BrokenWeights(f"The packed experts {block.name}.{name}.w{width} do not fit the model.", why=why)
    return weight
