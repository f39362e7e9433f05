"""Lowered graphs: the realisation asked for, and nothing that it promises to avoid."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from edgetok import ops
from edgetok.ops.realisations import decompositions
from edgetok.target import Realisations

MATMUL_ONLY = {
    "sort",
    "argsort",
    "topk",
    "gather",
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "index",
    "max",
    "where",
    "gt",
    "eq",
}


class Merge(nn.Module):
    """Match, reduce features and sizes, restore."""

    def forward(self, x: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        keep, src, dst = ops.bipartite_match(x, sizes, 3, 1, "kept")
        merged = ops.reduce(x, sizes, keep, src, dst)
        sizes = ops.reduce(sizes.unsqueeze(-1), None, keep, src, dst, "sum")
        ranked = ops.rank_top(sizes.squeeze(-1), 4, 1)
        keep2, src2, dst2 = ops.match_among(merged, None, ranked[:, 0::2], ranked[:, 1::2], 2)
        sizes = sizes + ops.restore(
            ops.reduce(sizes, None, keep2, src2, dst2, "max"), ops.destinations(keep2, src2, dst2, 8)
        )
        chosen = ops.select_top(sizes.squeeze(-1), 6, 1)
        empty = chosen[:, :0]
        dest = ops.compose(ops.destinations(keep, src, dst, 11), ops.destinations(chosen, empty, empty, 8))
        return ops.restore(ops.reduce(merged, None, chosen, empty, empty, "first"), dest, x), sizes


def example(batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    sizes = torch.ones(batch, 11)
    sizes[:, 8:] = 0
    return torch.randn(batch, 11, 4, generator=generator), sizes


def lowered(realisations: Realisations) -> ExportedProgram:
    batch = torch.export.Dim("batch")
    exported = torch.export.export(Merge(), example(2), dynamic_shapes=({0: batch}, {0: batch}))
    return exported.run_decompositions(decompositions(realisations))


def called(exported: ExportedProgram) -> set[str]:
    return {n.target.overloadpacket.__name__ for n in exported.graph.nodes if hasattr(n.target, "overloadpacket")}


@pytest.mark.parametrize(("match", "reduce"), list(itertools.product(["sort", "sort-free"], ["gather", "one-hot"])))
def test_every_mixture_computes_the_same(match: str, reduce: str) -> None:
    exported = lowered(Realisations(match=match, reduce=reduce))  # type: ignore[arg-type]
    assert not [n for n in exported.graph.nodes if "edgetok" in str(n.target)]
    for batch in (1, 2, 5):
        for got, expected in zip(exported.module()(*example(batch)), Merge()(*example(batch)), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_sort_free_one_hot_uses_no_sort_gather_or_comparison() -> None:
    assert called(lowered(Realisations(match="sort-free", reduce="one-hot"))).isdisjoint(MATMUL_ONLY)


def test_the_reference_has_no_bare_topk() -> None:
    assert "topk" not in called(lowered(Realisations()))


def test_realisation_is_chosen_by_token_count() -> None:
    some = called(lowered(Realisations(match="sort-free", one_hot_below=11)))
    assert "scatter_add" in some
    assert "scatter_add" not in called(lowered(Realisations(match="sort-free", one_hot_below=12)))
