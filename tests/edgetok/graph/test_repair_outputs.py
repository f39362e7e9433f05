"""What models do with tokens after their blocks. Merging twins loses nothing, so outputs must be the dense ones.

Each model here has side paths or outputs that a careless rewrite gets wrong in silence.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

N, C, H = 16, 16, 2


class Attention(nn.Module):
    """Self- or cross-attention with two heads."""

    def __init__(self, channels: int = C) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(channels, channels) for _ in range(4))

    def heads(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        return x.reshape(b, n, H, c // H).transpose(1, 2)

    def forward(self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        y = x if memory is None else memory
        q, k, v = self.heads(self.q(x)), self.heads(self.k(y)), self.heads(self.v(y))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.o(out.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, attention: nn.Module | None = None) -> None:
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.a = attention or Attention()
        self.f = nn.Sequential(nn.Linear(C, 2 * C), nn.GELU(), nn.Linear(2 * C, C))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + (self.a(self.n1(x)) if mask is None else self.a(self.n1(x), mask=mask))
        return x + self.f(self.n2(x))


class Blocks(nn.Module):
    """Two blocks, and ``head`` on what they return."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.extra()

    def extra(self) -> None: ...

    def head(self, x: Tensor, first: Tensor) -> object:
        return x

    def forward(self, x: Tensor) -> object:
        first = x
        for block in self.blocks:
            x = block(x)
        return self.head(x, first)


class OldAndNew(Blocks):
    """The first tokens join the last along the channels."""

    def extra(self) -> None:
        self.join = nn.Linear(2 * C, C)

    def head(self, x: Tensor, first: Tensor) -> object:
        return self.join(torch.cat([first, x], -1))


class Everywhere(Blocks):
    """All hidden states, nested, with things that are no tensors among them."""

    def forward(self, x: Tensor) -> object:
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1]))
        return {"states": tuple(states), "none": None, "nested": {"last": states[-1], "number": 3}}


class StackedStates(Blocks):
    def forward(self, x: Tensor) -> object:
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1]))
        return torch.stack(states, 1).mean(1), torch.stack(states, -1).amax(-1)


class Flattened(Blocks):
    """A head on all tokens as one vector."""

    def extra(self) -> None:
        self.out = nn.Linear(N * C, 5)

    def head(self, x: Tensor, first: Tensor) -> object:
        return self.out(x.flatten(1))


class Statistics(Blocks):
    def head(self, x: Tensor, first: Tensor) -> object:
        return (
            x.mean(1), x.sum(1), x.amax(1), x.amin((1, 2)), x.var(1), x.std(1, keepdim=True), x.max(1), x.mean((1, 2)),
            x.mean(), x.norm(dim=1), x.logsumexp(1), (x > 0).any(1), (x > 0).sum(1), x.mean(-1), x.softmax(1),
            x.log_softmax(1),
        )  # fmt: skip


class AlongTokens(Blocks):
    """Sorting, sums so far, rolling, flipping, padding: all of them along the tokens."""

    def head(self, x: Tensor, first: Tensor) -> object:
        return (
            x.sort(1)[0], x.topk(3, dim=1)[0], x.cumsum(1), x.roll(1, 1), x.flip(1), F.pad(x, (0, 0, 1, -1)),
            x.repeat(1, 2, 1), x[:, ::2], x[:, 1::2] * 2,
        )  # fmt: skip


class AcrossSamples(Blocks):
    """Tokens of different samples at the same place meet: each sample has its own map."""

    def head(self, x: Tensor, first: Tensor) -> object:
        return x.mean(0), x.softmax(0), x[:1], torch.cat([x, first], 0), x.cumsum(0), x[0], x.amax(0), x.max(0)[0]


class SamplePairs(Blocks):
    """Samples meet samples, token by token: there is no one sample whose map would do."""

    def head(self, x: Tensor, first: Tensor) -> object:
        y = x.transpose(0, 1)
        return y @ y.transpose(1, 2)


class TokensAsChannels(Blocks):
    """Pairs of tokens are joined to themselves, and attended to as if columns were channels."""

    def head(self, x: Tensor, first: Tensor) -> object:
        scores = x @ x.transpose(1, 2)
        return torch.cat([scores, scores], 1), F.scaled_dot_product_attention(scores, scores, scores)


class TokenPairs(Blocks):
    def head(self, x: Tensor, first: Tensor) -> object:
        scores = x @ x.transpose(1, 2)
        return (
            scores,
            scores.flatten(1),
            scores @ x,
            scores.mean((1, 2)),
            scores.mean(1),
            torch.einsum("bnc,bmc->bnm", x, first),
        )


class Pooling(Blocks):
    """Attention pooling written out, with a softmax over the tokens."""

    def extra(self) -> None:
        self.score = nn.Linear(C, 1)

    def head(self, x: Tensor, first: Tensor) -> object:
        weights = self.score(x)
        flat = weights.squeeze(-1).softmax(-1)
        return (weights.softmax(1) * x).sum(1), (flat.unsqueeze(1) @ x).squeeze(1)


class Mixer(Blocks):
    """A linear layer along the tokens."""

    def extra(self) -> None:
        self.mix = nn.Linear(N, N)

    def head(self, x: Tensor, first: Tensor) -> object:
        return self.mix(x.transpose(1, 2)).transpose(1, 2)


class MorePrompts(Blocks):
    """New tokens join in the middle: the sequence is another one from there."""

    def extra(self) -> None:
        self.prompt = nn.Parameter(torch.randn(1, 2, C))
        self.late = Block()

    def head(self, x: Tensor, first: Tensor) -> object:
        y = torch.cat([x, self.prompt.expand(x.shape[0], -1, -1)], 1)
        return y, self.late(y), torch.cat([x, x], 1)


class Gathered(Blocks):
    """One token of every sample by a computed index, as text encoders pick the end of the text."""

    def head(self, x: Tensor, first: Tensor) -> object:
        at = first.sum(-1).argmax(1)
        picked = x.gather(1, at[:, None, None].expand(-1, 1, C))
        return x[torch.arange(x.shape[0]), at], picked


class ToGrid(Blocks):
    """A convolution reads first and last tokens together as a grid."""

    def extra(self) -> None:
        self.conv = nn.Conv2d(2 * C, C, 3, padding=1)

    def head(self, x: Tensor, first: Tensor) -> object:
        b, _, c = x.shape
        both = torch.cat([first, x], -1).transpose(1, 2).reshape(b, 2 * c, 4, 4)
        return F.interpolate(self.conv(both), scale_factor=2.0)


class Memory(Blocks):
    """A decoder: learned queries attend to the tokens, whose places get a bias of their own per layer."""

    def extra(self) -> None:
        self.queries = nn.Parameter(torch.randn(5, C))
        self.cross, self.own = Attention(), Attention()

    def head(self, x: Tensor, first: Tensor) -> object:
        q = self.queries.expand(x.shape[0], -1, -1)
        q = q + self.own(q)
        return q + self.cross(q, x), x


class ManyNames(Blocks):
    """One block run three times, weights tied, and a parameter used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([self.blocks[0]] * 3)
        self.first = nn.Linear(C, C, bias=False)
        self.second = nn.Linear(C, C, bias=False)
        self.second.weight = self.first.weight

    def head(self, x: Tensor, first: Tensor) -> object:
        return self.second(self.first(x)) @ self.first.weight


class ChannelsFirst(Blocks):
    """Tokens last, mixed by a convolution with a kernel of 1 and a batch norm."""

    def extra(self) -> None:
        self.conv, self.norm = nn.Conv1d(C, C, 1), nn.BatchNorm1d(C)

    def head(self, x: Tensor, first: Tensor) -> object:
        return self.norm(self.conv(x.transpose(1, 2))).transpose(1, 2) + x


class Gated(Blocks):
    def extra(self) -> None:
        self.gate = nn.Linear(C, 1)

    def head(self, x: Tensor, first: Tensor) -> object:
        gate = self.gate(x).sigmoid()
        return x * gate.expand(-1, -1, C) + first * (1 - gate), torch.where(gate > 0.5, x, first)


class ClassAttention(Blocks):
    """In the end one token alone asks all the others."""

    def extra(self) -> None:
        self.ask = Attention()

    def head(self, x: Tensor, first: Tensor) -> object:
        return x.mean(1, keepdim=True) + self.ask(x.mean(1, keepdim=True), x)


class Pooled(Blocks):
    """Half of the tokens go on, and a quarter by maximum over pieces of the grid."""

    def extra(self) -> None:
        self.late = Block()

    def head(self, x: Tensor, first: Tensor) -> object:
        return self.late(x[:, ::2]), self.late(x.reshape(-1, 4, 4, C).amax(2))


MODELS = [
    OldAndNew,
    Everywhere,
    StackedStates,
    Flattened,
    Statistics,
    AlongTokens,
    AcrossSamples,
    SamplePairs,
    TokensAsChannels,
    TokenPairs,
    Pooling,
    Mixer,
    MorePrompts,
    Gathered,
    ToGrid,
    Memory,
    ManyNames,
    ChannelsFirst,
    Gated,
    ClassAttention,
    Pooled,
]


@pytest.mark.parametrize("model", MODELS)
def test_merging_twins_loses_nothing(lab, model):
    torch.manual_seed(0)
    module = model()

    def make(batch):
        return {"x": lab.twins_of(batch, N, C, 6, seed=batch)}

    program = lab.capture(module, make(3))
    lab.check_lossless(module, program, lab.backwards, 2, make, batches=(3, 1))
