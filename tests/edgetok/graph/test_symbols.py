"""Symbolic sizes as primes."""

from __future__ import annotations

import torch
from torch import nn

from edgetok.graph.symbols import FIRST_PRIME, Symbols


class Sizes(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.reshape(-1), x.reshape(-1, 2), torch.cat([x, x]), x[2:], y


def shapes() -> list[torch.Size]:
    batch, frames = torch.export.Dim("batch", min=4), torch.export.Dim("frames", min=4)
    inputs = torch.randn(7, 4), torch.randn(5, 7)
    exported = torch.export.export(Sizes(), inputs, dynamic_shapes=({0: batch}, {0: frames, 1: batch}))
    return [node.meta["val"].shape for node in exported.graph.output_node().args[0]]


def test_sizes_are_products_of_a_number_and_primes():
    flat, pairs, twice, fewer, other = shapes()
    symbols = Symbols()
    (batch,) = {symbols.size(flat[0]) // 4}
    assert batch >= FIRST_PRIME
    assert symbols.is_symbolic(batch)
    assert symbols.sizes(pairs) == (2 * batch, 2)
    assert symbols.sizes(twice) == (2 * batch, 4)
    assert symbols.sizes(fewer) == (batch - 2, 4)
    frames, again = symbols.sizes(other)
    assert again == batch
    assert symbols.is_symbolic(frames)
    assert frames != batch
    assert symbols.factor(6 * batch * frames) == (6, [batch, frames])
    assert symbols.factor(197) == (197, [])
    assert not symbols.is_symbolic(2 * batch)


def test_plain_sizes_are_themselves():
    symbols = Symbols()
    assert symbols.sizes((1, 197, 10**9)) == (1, 197, 10**9)
    assert not symbols.is_symbolic(197)
