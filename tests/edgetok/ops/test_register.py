"""Registration: torch's own operator checks, one node per primitive, symbolic batch."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from edgetok import ops

KEEP, SRC, DST = torch.tensor([[0, 1, 3], [0, 3, 4]]), torch.tensor([[2, 4], [1, 2]]), torch.tensor([[1, 2], [1, 1]])
X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
DEST = torch.tensor([[0, 1, 1, 2, -1], [0, 1, 1, 1, 2]])

SAMPLES = {
    "match": (torch.ops.edgetok.bipartite_match.default, (X, None, 2, 1, "kept")),
    "match-padding": (torch.ops.edgetok.bipartite_match.default, (X, torch.ones(2, 5), 1, 0, "reference")),
    "match-grad": (torch.ops.edgetok.bipartite_match.default, (X.clone().requires_grad_(), None, 2, 1, "kept")),
    "select": (torch.ops.edgetok.select_top.default, (X[..., 0], 3, 1)),
    "rank": (torch.ops.edgetok.rank_top.default, (X[..., 0], 3, 1)),
    "among": (torch.ops.edgetok.match_among.default, (X, torch.ones(2, 5), KEEP[:, 1:], KEEP[:, :1], 1)),
    "max": (torch.ops.edgetok.reduce.default, (X[..., :1].clone().requires_grad_(), None, KEEP, SRC, DST, "max")),
    "mean": (torch.ops.edgetok.reduce.default, (X.clone().requires_grad_(), torch.ones(2, 5), KEEP, SRC, DST, "mean")),
    "mean-none": (torch.ops.edgetok.reduce.default, (X.clone().requires_grad_(), None, KEEP, SRC, DST, "mean")),
    "sum": (torch.ops.edgetok.reduce.default, (X.clone().requires_grad_(), None, KEEP, SRC, DST, "sum")),
    "first": (torch.ops.edgetok.reduce.default, (X > 0, None, KEEP, SRC, DST, "first")),
    "destinations": (torch.ops.edgetok.destinations.default, (KEEP, SRC, DST, 5)),
    "restore": (
        torch.ops.edgetok.restore.default,
        (X[:, :3].clone().requires_grad_(), DEST, X.clone().requires_grad_()),
    ),
    "compose": (torch.ops.edgetok.compose.default, (DEST, torch.tensor([[0, -1, 1], [1, 1, 0]]))),
}


@pytest.mark.parametrize("case", SAMPLES)
def test_opcheck(case: str) -> None:
    op, args = SAMPLES[case]
    torch.library.opcheck(op, args)


class Everything(nn.Module):
    """All primitives once."""

    def forward(self, x: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        sizes = torch.ones_like(x[..., 0])
        keep, src, dst = ops.bipartite_match(x, None, 3, 1)
        merged = ops.reduce(x, sizes, keep, src, dst)
        first = ops.destinations(keep, src, dst, 11)
        chosen = ops.select_top(ops.reduce(scores.unsqueeze(-1), None, keep, src, dst, "sum").squeeze(-1), 5, 1)
        empty = chosen[:, :0]
        pruned = ops.reduce(merged, None, chosen, empty, empty, "first")
        second = ops.destinations(chosen, empty, empty, 8)
        return ops.restore(pruned, ops.compose(first, second), x), pruned


def test_exports_with_symbolic_batch_as_one_node_each() -> None:
    batch = torch.export.Dim("batch")
    args = (torch.randn(2, 11, 4), torch.rand(2, 11))
    exported = torch.export.export(Everything(), args, dynamic_shapes=({0: batch}, {0: batch})).run_decompositions({})
    counts = Counter(str(n.target) for n in exported.graph.nodes if "edgetok" in str(n.target))
    assert counts == {
        "edgetok.bipartite_match.default": 1,
        "edgetok.select_top.default": 1,
        "edgetok.reduce.default": 3,
        "edgetok.destinations.default": 2,
        "edgetok.compose.default": 1,
        "edgetok.restore.default": 1,
    }
    for size in (1, 2, 5):
        x, scores = torch.randn(size, 11, 4), torch.rand(size, 11)
        for got, expected in zip(exported.module()(x, scores), Everything()(x, scores), strict=True):
            assert torch.equal(got, expected)
