"""Rewritten models against the same reduction written by hand, where merging loses something and must lose just that.

The hand-written side keeps its own sizes and maps, and says where tokens come back and where they are reduced again.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgetok import ops
from edgetok.errors import RepairFailed
from edgetok.graph import find_sites, rewrite, run_rewritten

B, N, C, H, R = 2, 16, 8, 2, 3


class Layer(nn.Module):
    """One pre-norm block whose attention can be told the sizes of its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.q, self.k, self.v, self.o = (nn.Linear(C, C) for _ in range(4))
        self.f = nn.Sequential(nn.Linear(C, C), nn.GELU())

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, n, c = x.shape
        h = self.n1(x)
        return tuple(p(h).reshape(b, n, H, c // H).transpose(1, 2) for p in (self.q, self.k, self.v))

    def attend(self, x: Tensor, sizes: Tensor | None = None, turn: Tensor | None = None) -> Tensor:
        q, k, v = self.project(x)
        if turn is not None:
            q, k = rotated(q, turn), rotated(k, turn)
        mask = None if sizes is None else sizes.log()[:, None, None]
        return self.o(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(x.shape))

    def forward(self, x: Tensor, turn: Tensor | None = None) -> Tensor:
        x = x + self.attend(x, turn=turn)
        return x + self.f(self.n2(x))


def rotated(x: Tensor, turn: Tensor) -> Tensor:
    """Rotary positions: ``turn (..., n, d)`` are angles."""
    half = torch.cat([-x[..., 2:], x[..., :2]], -1)
    return x * turn.cos() + half * turn.sin()


class Hand:
    """The hand-written reduction: the plugin's own maps, sizes, and the way back to all tokens."""

    def __init__(self, lab, plugin, r: int) -> None:
        self.plugin, self.r, self.sizes = plugin, r, torch.ones(B, N)
        self.maps: list[tuple] = []

    def reduce(self, hidden: Tensor) -> Tensor:
        """The hidden tokens after one more step."""

        class Signals:
            tokens, protected, padded = hidden.shape[1], 0, False

        Signals.hidden = hidden
        found = self.plugin.reduce(Signals, hidden.shape[1] - self.r)
        self.maps.append((found.keep, found.src, found.dst, self.sizes))
        self.sizes = ops.reduce(self.sizes[..., None], None, found.keep, found.src, found.dst, "sum")[..., 0]
        return self.again(hidden, len(self.maps) - 1)

    def again(self, x: Tensor, since: int = 0, mode: str = "mean") -> Tensor:
        """A value with all tokens, reduced by the maps from number ``since`` on."""
        for keep, src, dst, sizes in self.maps[since:]:
            x = ops.reduce(x, sizes if mode == "mean" else None, keep, src, dst, mode)
        return x

    def whole(self, x: Tensor) -> Tensor:
        """All tokens of a reduced value."""
        for keep, src, dst, sizes in reversed(self.maps):
            x = ops.restore(x, ops.destinations(keep, src, dst, sizes.shape[1]), None)
        return x


def check(lab, module: nn.Module, hand, plugin, inputs: dict[str, Tensor], r: int = R) -> None:
    torch.manual_seed(0)
    module = module.eval()
    program = lab.capture(module, inputs)
    found = run_rewritten(program, lab.steps(find_sites(program), plugin, r), inputs)
    with torch.no_grad():
        wanted = hand(module, Hand(lab, plugin, r), **inputs)
    assert len(found) == len(wanted)
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda m, i=i: f"output {i}: {m}")


def tokens(seed: int = 0) -> dict[str, Tensor]:
    return {"x": torch.randn(B, N, C, generator=torch.Generator().manual_seed(seed))}


class Convolved(nn.Module):
    """A convolution over the grid of tokens inside every block, and another one at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(2))
        self.conv = nn.Conv2d(C, C, 3, padding=1)

    def grid(self, x: Tensor) -> Tensor:
        return self.conv(x.transpose(1, 2).reshape(x.shape[0], C, 4, 4)).flatten(2).transpose(1, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.layers:
            x = x + layer.attend(x)
            x = x + self.grid(layer.n2(x))
        return x, self.grid(x)

    @staticmethod
    def by_hand(m: Convolved, hand: Hand, x: Tensor) -> tuple[Tensor, Tensor]:
        for layer in m.layers:
            x = hand.reduce(x + layer.attend(x, hand.sizes))
            x = x + hand.again(m.grid(hand.whole(layer.n2(x))))
        return hand.whole(x), m.grid(hand.whole(x))


class Windowed(nn.Module):
    """Global attention, attention in windows, global attention."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.window, self.last = Layer(), Layer(), Layer()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.last(self.windows(self.first(x)))
        return y, y.mean(1)

    def windows(self, x: Tensor) -> Tensor:
        w = x.reshape(-1, 2, 2, 2, 2, C).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, C)
        return self.window(w).reshape(-1, 2, 2, 2, 2, C).permute(0, 1, 3, 2, 4, 5).reshape(x.shape)

    @staticmethod
    def by_hand(m: Windowed, hand: Hand, x: Tensor) -> tuple[Tensor, Tensor]:
        x = hand.reduce(x + m.first.attend(x))
        x = m.windows(hand.whole(x + m.first.f(m.first.n2(x))))
        return Windowed.last_by_hand(m, hand, x)

    @staticmethod
    def last_by_hand(m: Windowed, hand: Hand, x: Tensor) -> tuple[Tensor, Tensor]:
        """What came back stays whole: the last attention sees all tokens, and its anchor reduces them again."""
        y = hand.again(x + m.last.attend(x))
        y = hand.reduce(y)
        y = hand.whole(y + m.last.f(m.last.n2(y)))
        return y, y.mean(1)


class LongSkip(nn.Module):
    """First tokens join last ones; statistics of a difference."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(2))
        self.join = nn.Linear(2 * C, C)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = x
        for layer in self.layers:
            x = layer(x)
        y = self.join(torch.cat([first, x], -1))
        return y, (y - first).mean(1), x - x.mean(0)

    @staticmethod
    def by_hand(m: LongSkip, hand: Hand, x: Tensor) -> tuple[Tensor, ...]:
        first = x
        for layer in m.layers:
            x = hand.reduce(x + layer.attend(x, hand.sizes))
            x = x + layer.f(layer.n2(x))
        reduced = hand.again(first)
        y = m.join(torch.cat([reduced, x], -1))
        middle = hand.again(hand.whole(x).mean(0).expand(B, -1, -1))
        return hand.whole(y), hand.whole(y - reduced).mean(1), hand.whole(x - middle)


class Turned(nn.Module):
    """Rotary positions and a bias over pairs of tokens: a merged token has those of its first part."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(2))
        self.register_buffer("turn", torch.randn(N, C // H))
        self.place = nn.Parameter(torch.randn(1, N, C))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x + self.place, self.turn)
        return x

    @staticmethod
    def by_hand(m: Turned, hand: Hand, x: Tensor) -> tuple[Tensor, ...]:
        for layer in m.layers:
            turn = hand.again(m.turn.expand(B, -1, -1), mode="first")[:, None]
            x = x + hand.again(m.place.expand(B, -1, -1), mode="first")
            x = hand.reduce(x + layer.attend(x, hand.sizes, turn))
            x = x + layer.f(layer.n2(x))
        return (hand.whole(x),)


class Biased(nn.Module):
    """A learned bias per head and pair of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(2))
        self.bias = nn.Parameter(torch.randn(H, N, N))

    def attend(self, layer: Layer, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = layer.project(x)
        return layer.o(F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).reshape(x.shape))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + self.attend(layer, x, self.bias)
            x = x + layer.f(layer.n2(x))
        return x

    @staticmethod
    def by_hand(m: Biased, hand: Hand, x: Tensor) -> tuple[Tensor, ...]:
        for layer in m.layers:
            bias = torch.stack([m.bias[h].expand(B, -1, -1) for h in range(H)], 1)
            rows = torch.stack([hand.again(bias[:, h], mode="first") for h in range(H)], 1)
            both = torch.stack([hand.again(rows[:, h].mT, mode="first").mT for h in range(H)], 1)
            x = x + m.attend(layer, x, both + hand.sizes.log()[:, None, None])
            x = hand.reduce(x)
            x = x + layer.f(layer.n2(x))
        return (hand.whole(x),)


@pytest.mark.parametrize("method", ["pairs", "shuffled_pairs"])
@pytest.mark.parametrize("model", [Convolved, Windowed, LongSkip, Turned, Biased])
def test_the_engine_does_what_was_written_by_hand(lab, model, method):
    check(lab, model(), model.by_hand, getattr(lab, method), tokens())


class Pieces(nn.Module):
    """Slices and selections along the tokens: what is picked by its place is never merged."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        for layer in self.layers:
            x = layer(x)
        a, b, c = x.split([2, 13, 1], 1)
        return x[:, 1], x[:, -1], a, torch.cat([a, b, c], 1), torch.cat([c, b], 1), x[:, 2:15].sum(1), x[:, 2:].amax(1)


def test_pieces_of_the_tokens_are_where_they_were(lab):
    """With twins in the middle segment nothing is lost, wherever the pieces went."""
    module = Pieces()
    program = lab.capture(module, tokens())
    (first, _) = sites = find_sites(program)
    assert first.space.sizes == (1, 1, 13, 1)
    assert (first.protected, first.space.trailing, first.mergeable(N)) == (2, 1, 13)
    rewritten = rewrite(program, lab.steps(sites, lab.backwards, 2))
    inputs = {"x": lab.twins_of(B, N, C, 4, span=(2, 15))}
    for a, b in zip(lab.run(rewritten, inputs), module(**inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


class States(nn.Module):
    """All hidden states, the last one through a norm and a head for every token."""

    def __init__(self, after: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(3))
        self.norm, self.out = nn.LayerNorm(C), nn.Linear(C, 3)
        self.after = after

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        states = [x]
        for layer in self.layers:
            x = layer(x)
            states.append(self.norm(x) if self.after else x)
        return (*states, self.out(self.norm(x)), x.mean(1))


@pytest.mark.parametrize("after", [False, True], ids=["states", "normed states"])
def test_dropped_tokens_keep_the_value_they_had(lab, after):
    module = States(after).eval()
    inputs = tokens()
    program = lab.capture(module, inputs)
    found = lab.run(lab.rewritten(program, lab.drop, R))

    x = inputs["x"]
    everything, alive = x.clone(), torch.arange(N).expand(B, -1)
    wanted = [x]
    with torch.no_grad():
        for layer in module.layers:
            x = x + layer.attend(x)
            everything = everything.scatter(1, alive[..., None].expand(-1, -1, C), x)
            keep = ops.select_top(x.norm(dim=-1), x.shape[1] - R, 0)
            x, alive = x.gather(1, keep[..., None].expand(-1, -1, C)), alive.gather(1, keep)
            x = x + layer.f(layer.n2(x))
            everything = everything.scatter(1, alive[..., None].expand(-1, -1, C), x)
            wanted.append(module.norm(everything) if after else everything)
        wanted += [module.out(module.norm(everything)), everything.mean(1)]
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda m, i=i: f"output {i}: {m}")


def test_where_dropped_tokens_have_no_value_the_rewrite_fails(lab):
    """The result of an attention has no entry for tokens that took no part in it."""

    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Layer() for _ in range(2))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.layers[0](x)
            y = self.layers[1].attend(x)
            return x + y, y

    program = lab.capture(Inside(), tokens())
    step = lab.steps(find_sites(program), lab.drop, R)[:1]
    with pytest.raises(RepairFailed, match="dropped tokens have no value"):
        rewrite(program, step)
