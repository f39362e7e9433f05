"""Modules of the zoo that need nothing but torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Encoder(nn.Module):
    """``nn.TransformerEncoder`` over ``x (batch, tokens, channels)``, pre-norm."""

    def __init__(self, channels: int, heads: int, layers: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            channels, heads, 2 * channels, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens to tokens."""
        return self.layers(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Pre-norm attention and MLP over ``x (batch, tokens, channels)``, with an optional constant mask."""

    def __init__(self, channels: int, heads: int, mask: Tensor | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.mlp: nn.Module = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )
        self.mask: Tensor | None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens to tokens."""
        batch, tokens, channels = x.shape
        qkv = self.qkv(self.before(x)).reshape(batch, tokens, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=self.mask)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, channels))
        return x + self.mlp(self.between(x))  # type: ignore[no-any-return]


class Banded(Block):
    """A block whose tokens see only their near neighbours."""

    def __init__(self, channels: int, heads: int, tokens: int, reach: int = 4) -> None:
        places = torch.arange(tokens)
        super().__init__(channels, heads, (places[:, None] - places[None]).abs() <= reach)


class SpaceTime(nn.Module):
    """Attention over space, then over time; ``x (batch, frames, positions, channels)``."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.space, self.time = Block(channels, heads), Block(channels, heads)

    def forward(self, x: Tensor) -> Tensor:
        """Video to video."""
        batch, frames, positions, channels = x.shape
        x = self.space(x.reshape(batch * frames, positions, channels)).reshape(batch, frames, positions, channels)
        x = x.transpose(1, 2).reshape(batch * positions, frames, channels)
        x = self.time(x).reshape(batch, positions, frames, channels)
        return x.transpose(1, 2)
