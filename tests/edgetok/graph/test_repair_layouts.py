"""Attention and blocks in every layout. Merging twins loses nothing, so outputs must be those of the dense model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

N, C, H = 16, 16, 2


class Attention(nn.Module):
    """Attention with two heads."""

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
    """Two blocks of a kind."""

    def __init__(self, block: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block() for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            x = block(x)
        return x, x.mean(1)


class FusedQkv(Attention):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, H, c // H).permute(2, 0, 3, 1, 4).unbind(0)
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))


class ScaleInQuery(Attention):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.heads(self.q(x)) * 8**-0.5, self.heads(self.k(x)), self.heads(self.v(x))
        return self.o(((q @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).reshape(x.shape))


class FoldedHeads(Attention):
    """Heads in the batch, matrices multiplied with ``bmm``."""

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = (self.heads(p(x)).reshape(b * H, n, c // H) for p in (self.q, self.k, self.v))
        weights = (torch.bmm(q, k.transpose(1, 2)) / 2.0).softmax(-1)
        return self.o(torch.bmm(weights, v).reshape(b, H, n, c // H).transpose(1, 2).reshape(b, n, c))


class FoldedHeadsWithBias(FoldedHeads):
    """The same with a bias over pairs of tokens that is the same for all heads; here it says nothing about tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(1, N, 1).expand(1, N, N).clone())

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = (self.heads(p(x)).reshape(b * H, n, c // H) for p in (self.q, self.k, self.v))
        weights = (torch.bmm(q, k.transpose(1, 2)) / 2.0 + self.bias).softmax(-1)
        return self.o(torch.bmm(weights, v).reshape(b, H, n, c // H).transpose(1, 2).reshape(b, n, c))


class Grouped(Attention):
    """Grouped queries: one head of keys for both heads of queries, by expansion."""

    def __init__(self) -> None:
        super().__init__()
        self.k, self.v = nn.Linear(C, C // H), nn.Linear(C, C // H)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q = self.heads(self.q(x))
        k, v = (p(x).reshape(b, n, 1, c // H).transpose(1, 2) for p in (self.k, self.v))
        k, v = (t[:, :, None].expand(b, 1, H, n, c // H).reshape(b, H, n, c // H) for t in (k, v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))


class GroupedFlag(Grouped):
    """The same by the flag of the fused operation."""

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        k, v = (p(x).reshape(b, n, 1, c // H).transpose(1, 2) for p in (self.k, self.v))
        out = F.scaled_dot_product_attention(self.heads(self.q(x)), k, v, enable_gqa=True)
        return self.o(out.transpose(1, 2).reshape(x.shape))


class TorchAttention(nn.Module):
    """``nn.MultiheadAttention`` on the path that computes weights."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.MultiheadAttention(C, H, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x, x, x, need_weights=True)[0]


class NoProjections(nn.Module):
    """Queries, keys and values are one tensor."""

    def forward(self, x: Tensor) -> Tensor:
        h = x[:, None]
        return F.scaled_dot_product_attention(h, h, h)[:, 0]


class FoldedTokens(nn.Module):
    """The MLP sees ``(batch * tokens, channels)``."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Block()

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        x = x + self.inner.a(self.inner.n1(x))
        return x + self.inner.f(self.inner.n2(x.reshape(b * n, c))).reshape(b, n, c)


class Experts(FoldedTokens):
    """A dense mixture of experts routed by top-k over folded tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(C, 4)
        self.experts = nn.ModuleList(nn.Linear(C, C) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        x = x + self.inner.a(self.inner.n1(x))
        flat = self.inner.n2(x).reshape(b * n, c)
        weights, chosen = self.router(flat).softmax(-1).topk(2, dim=-1)
        out = torch.zeros_like(flat)
        for i, expert in enumerate(self.experts):
            out = out + expert(flat) * (weights * (chosen == i)).sum(-1, keepdim=True)
        return x + out.reshape(b, n, c)


class PostNorm(Block):
    def forward(self, x: Tensor) -> Tensor:
        x = self.n1(x + self.a(x))
        return self.n2(x + self.f(x))


class Parallel(Block):
    def forward(self, x: Tensor) -> Tensor:
        h = self.n1(x)
        return x + self.a(h) + self.f(h)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "pre-norm": lambda: Blocks(Block),
    "post-norm": lambda: Blocks(PostNorm),
    "parallel": lambda: Blocks(Parallel),
    "fused qkv": lambda: Blocks(lambda: Block(FusedQkv())),
    "scale in the query": lambda: Blocks(lambda: Block(ScaleInQuery())),
    "heads in the batch": lambda: Blocks(lambda: Block(FoldedHeads())),
    "heads in the batch, bias": lambda: Blocks(lambda: Block(FoldedHeadsWithBias())),
    "grouped queries": lambda: Blocks(lambda: Block(Grouped())),
    "grouped queries by flag": lambda: Blocks(lambda: Block(GroupedFlag())),
    "nn.MultiheadAttention": lambda: Blocks(lambda: Block(TorchAttention())),
    "no projections": lambda: Blocks(lambda: Block(NoProjections())),
    "tokens folded into the batch": lambda: Blocks(FoldedTokens),
    "experts": lambda: Blocks(Experts),
}


@pytest.mark.parametrize("name", MODELS)
def test_merging_twins_loses_nothing(lab, name):
    torch.manual_seed(0)
    module = MODELS[name]()

    def make(batch):
        return {"x": lab.twins_of(batch, N, C, 6, seed=batch)}

    program = lab.capture(module, make(3))
    lab.check_lossless(module, program, lab.backwards, 2, make, batches=(3, 1))
