"""Tiles: folding and unfolding, maps that say the same as their ids, and cost that is linear in N."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from edgetok import ops
from edgetok.graph import TokenMap
from edgetok.graph.tiles import Tiles, tiled
from edgetok.ops import realisations


@given(st.integers(1, 60), st.integers(0, 4), st.integers(1, 20))
def test_tiles_are_of_one_length_and_leave_little_over(free: int, front: int, size: int) -> None:
    tiles = Tiles.of(front + free, front, size)
    left = free - tiles.size * tiles.count
    assert 0 <= left < tiles.count
    x = torch.arange(2 * (front + free)).reshape(2, -1)
    assert tiles.fold(x).shape == (2 * tiles.count, tiles.size)
    assert torch.equal(tiles.unfold(tiles.fold(x), x), x)


def example(n: int, front: int = 1) -> tuple[Tensor, Tensor, TokenMap]:
    x = torch.randn(2, n, 4, generator=torch.Generator().manual_seed(n))
    sizes = torch.randint(1, 4, (2, n), generator=torch.Generator().manual_seed(1)).float()
    tiles = Tiles.of(n, front, 8)
    return x, sizes, tiled(n, tiles, x, None, lambda m, s: TokenMap(*ops.bipartite_match(m, s, 3, 0, "kept")))


@given(st.integers(9, 40), st.integers(0, 3))
@settings(max_examples=40)
def test_a_tiled_map_does_what_its_ids_say(n: int, front: int) -> None:
    x, sizes, token_map = example(n, front)
    plain = TokenMap(token_map.keep, token_map.src, token_map.dst)
    for how in ("mean", "sum", "first"):
        weights = sizes if how == "mean" else None
        torch.testing.assert_close(token_map.reduce(x, weights, how), plain.reduce(x, weights, how))
    y = token_map.reduce(x, sizes, "mean")
    assert torch.equal(token_map.restore(y, n), plain.restore(y, n))
    assert token_map.merged == n - token_map.keep.shape[1]


def test_windows_and_tails_of_a_tiled_map():
    x, _, token_map = example(30, 2)
    plain = TokenMap(token_map.keep, token_map.src, token_map.dst)
    left = token_map.keep.shape[1]
    part, whole = token_map.window(2, left), plain.window(2, left)
    behind = x[:, 2:]
    assert torch.equal(part.reduce(behind, None, "sum"), whole.reduce(behind, None, "sum"))
    y = whole.reduce(behind, None, "first")
    assert torch.equal(part.restore(y, 28), whole.restore(y, 28))
    longer = torch.cat([x, x[:, :3]], 1)
    assert torch.equal(
        token_map.followed_by(30, 3).reduce(longer, None, "sum"), plain.followed_by(30, 3).reduce(longer, None, "sum")
    )


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(value, Tensor):
                self.entries = max(self.entries, value.numel())
        return out


@pytest.mark.parametrize("match", ["sort", "sort-free"])
def test_memory_is_linear_in_the_number_of_tokens(match: str):
    reduce = "gather" if match == "sort" else "one-hot"

    def largest(n: int) -> int:
        tiles, x = Tiles.of(n, 0, 32), torch.randn(1, n, 8, generator=torch.Generator().manual_seed(0))
        with Largest() as seen:
            body = tiles.fold(x)
            keep, src, dst = realisations.MATCH[match](body, None, 8, 0, "kept")
            y = realisations.REDUCE[reduce](body, None, keep, src, dst, "mean")
            dest = realisations.DESTINATIONS[reduce](keep, src, dst, tiles.size)
            tiles.unfold(realisations.RESTORE[reduce](y, dest, None), x)
        return seen.entries

    assert largest(4096) == 4 * largest(1024) < 4096 * 64
