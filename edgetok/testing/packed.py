"""Products with packed weights for the tests of exporters: every width, grouping and way of stacking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgetok.ops import packed_matmul
from edgetok.ops.packed import row_bytes


@dataclass(frozen=True)
class PackedCase:
    """One product.

    Attributes:
        bits: of a code.
        columns: weights in a row.
        group: weights that share a scale.
        zero: whether zero points are stored.
        stack: matrices that are stacked; 0 for a single one.
        shared: whether a stack's matrices have one input.
        rows: of a matrix.
    """

    bits: int
    columns: int = 64
    group: int = 32
    zero: bool = True
    stack: int = 0
    shared: bool = True
    rows: int = 12


class PackedProducts(nn.Module):
    """A product for every case, of inputs ``x [1, T, 96]`` and ``y [stack, T, 96]``."""

    def __init__(self, cases: Sequence[PackedCase]) -> None:
        super().__init__()
        self.cases = tuple(cases)
        chance = torch.Generator().manual_seed(0)
        for number, case in enumerate(self.cases):
            lead = (case.stack, case.rows) if case.stack else (case.rows,)
            codes, groups = (*lead, row_bytes(case.columns, case.bits)), (*lead, -(-case.columns // case.group))
            self.register_buffer(f"codes{number}", torch.randint(0, 256, codes, dtype=torch.uint8, generator=chance))
            self.register_buffer(f"scale{number}", (torch.rand(groups, generator=chance) + 0.5).half() / 2**case.bits)
            if case.zero:
                zero = torch.randint(0, 1 << case.bits, groups, dtype=torch.uint8, generator=chance)
                self.register_buffer(f"zero{number}", zero)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """One output for each case."""
        return tuple(self._product(number, case, x, y) for number, case in enumerate(self.cases))

    def _product(self, number: int, case: PackedCase, x: Tensor, y: Tensor) -> Tensor:
        given = (x if case.shared else y)[..., : case.columns]
        codes, scale = self.get_buffer(f"codes{number}"), self.get_buffer(f"scale{number}")
        zero = self.get_buffer(f"zero{number}") if case.zero else None
        return packed_matmul(given, codes, scale, zero, bits=case.bits, columns=case.columns, group=case.group)


def packed_inputs(stack: int = 4) -> dict[str, Tensor]:
    """Inputs of :class:`PackedProducts`."""
    chance = torch.Generator().manual_seed(1)
    return {name: torch.randn(size, 5, 96, generator=chance) for name, size in (("x", 1), ("y", stack))}
