"""Sites: where tokens can be reduced, and what is known about them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgetok.graph import factors, find_sites
from edgetok.graph.nodes import op_name


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out, self.mlp = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor, turn: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        if turn is not None:
            q, k = q * turn.cos(), k * turn.cos()
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.mlp(x)


class Vision(nn.Module):
    """A small vision transformer; ``options`` switch on what some of them have."""

    def __init__(self, prefix: int = 1, turn: bool = False, bias: bool = False, trailing: int = 0) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.prefix, self.last = nn.Parameter(torch.randn(1, prefix, 8)), nn.Parameter(torch.randn(1, trailing, 8))
        self.place = nn.Parameter(torch.randn(1, 24 + prefix + trailing, 8))
        self.layers = nn.ModuleList(Layer() for _ in range(3))
        n = 24 + prefix + trailing
        self.turn = nn.Parameter(torch.randn(n, 4)) if turn else None
        self.bias = nn.Parameter(torch.randn(2, n, n)) if bias else None

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        patches = self.embed(pixels).flatten(2).transpose(1, 2)
        b = pixels.shape[0]
        x = torch.cat([self.prefix.expand(b, -1, -1), patches, self.last.expand(b, -1, -1)], 1) + self.place
        for layer in self.layers:
            x = layer(x, self.turn, self.bias)
        return x[:, 0], x


def sites_of(lab, **options):
    program = lab.capture(Vision(**options), {"pixels": torch.randn(2, 3, 16, 24)})
    return program, find_sites(program)


@pytest.mark.parametrize(("prefix", "trailing"), [(1, 0), (5, 0), (2, 3)])
def test_what_is_known_about_a_site(lab, prefix, trailing):
    _, sites = sites_of(lab, prefix=prefix, trailing=trailing)
    assert [site.name for site in sites] == ["layers.0", "layers.1", "layers.2"]
    assert [(site.index, site.count) for site in sites] == [(0, 3), (1, 3), (2, 3)]
    for site in sites:
        assert site.obstacle is None
        assert (site.tokens, site.protected, site.space.trailing) == (24 + prefix + trailing, prefix, trailing)
        assert site.mergeable(site.tokens) == 24
        assert (site.heads, site.grid, site.mask.kind) == (2, (4, 6), "none")
        assert [("batch" in f.tags) for f in site.batch] == [True]


def test_anchors_are_the_adds_after_attention(lab):
    program, sites = sites_of(lab)
    order = list(program.graph.nodes)
    for site in sites:
        assert op_name(site.anchor) == "add"
        between = order[order.index(site.node) + 1 : order.index(site.anchor)]
        assert {op_name(node) for node in between} <= {"transpose", "reshape", "linear"}


@pytest.mark.parametrize(("options", "positions"), [({}, False), ({"turn": True}, True), ({"bias": True}, True)])
def test_positions_inside_the_layers_are_noticed(lab, options, positions):
    _, sites = sites_of(lab, **options)
    assert {site.positions for site in sites} == {positions}
    assert {site.obstacle for site in sites} == {None}


def test_golden_labels(lab, golden):
    """Every value of a small vision transformer with its axes, as factors."""
    program, _ = sites_of(lab)
    labels = program.labels
    primes = labels.symbols

    def shown(axis) -> str:
        return "*".join(f"{f.origin}:{'batch' if primes.is_symbolic(f.size) else f.size}" for f in axis) or "1"

    lines = []
    for node in program.graph.nodes:
        for i, axes in enumerate(labels.outputs(node)):
            lines.append(f"{node.name}{f'[{i}]' if i else ''} ({', '.join(map(shown, axes))})")
    space = find_sites(program)[0].space
    lines.append(f"space {shown(space.axis)} = {' | '.join(shown(s) for s in space.segments)}")
    assert factors.size(space.axis) == 25
    golden("graph/labels.txt", "\n".join(lines))
