"""Denoisers of the zoo, small and of nothing but torch: a U-Net, a DiT and one with text and image in one sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def times(timestep: Tensor, channels: int) -> Tensor:
    """``(batch,)`` integers as sines and cosines ``(batch, channels)``."""
    rates = torch.exp(torch.arange(channels // 2) * (-8.0 / channels))
    angles = timestep[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


class Attention(nn.Module):
    """Attention of ``x (batch, n, channels)`` over ``context (batch, m, channels)``, with separate projections."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(channels, channels, bias=False) for _ in range(3))
        self.out = nn.Linear(channels, channels)

    def split(self, x: Tensor) -> Tensor:
        """``(batch, n, channels) -> (batch, heads, n, d)``."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Tokens to tokens."""
        q, k, v = self.split(self.query(x)), self.split(self.key(context)), self.split(self.value(context))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Spatial(nn.Module):
    """A transformer block on a map of features ``(batch, channels, height, width)``: self, cross, gated MLP."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.group = nn.GroupNorm(4, channels)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        self.inner, self.cross = Attention(channels, heads), Attention(channels, heads)
        self.gate, self.mlp = nn.Linear(channels, 4 * channels), nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Map to map."""
        tokens = self.group(x).permute(0, 2, 3, 1).flatten(1, 2)
        inner = self.norms[0](tokens)
        tokens = tokens + self.inner(inner, inner)
        tokens = tokens + self.cross(self.norms[1](tokens), text)
        hidden, gate = self.gate(self.norms[2](tokens)).chunk(2, -1)
        tokens = tokens + self.mlp(hidden * F.gelu(gate))
        return x + tokens.reshape(x.shape[0], x.shape[2], x.shape[3], -1).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class Residual(nn.Module):
    """Group norm and convolution of a map, with the time added: ``(batch, channels, height, width)``."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.norm, self.time = nn.GroupNorm(4, before), nn.Linear(channels, channels)
        self.conv, self.skip = nn.Conv2d(before, channels, 3, padding=1), nn.Conv2d(before, channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map to map."""
        mixed = self.conv(F.silu(self.norm(x))) + self.time(time)[:, :, None, None]
        return self.skip(x) + mixed  # type: ignore[no-any-return]


class UNet(nn.Module):
    """Two resolutions with attention at both, as the U-Net of Stable Diffusion has them."""

    def __init__(self, channels: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.channels = channels
        self.first, self.last = nn.Conv2d(4, channels, 3, padding=1), nn.Conv2d(channels, 4, 3, padding=1)
        self.down, self.up = Residual(channels, channels), Residual(2 * channels, channels)
        self.shrink = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.high, self.low, self.back = (Spatial(channels, heads) for _ in range(3))

    def forward(self, sample: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        """The noise in ``sample (batch, 4, height, width)``, given ``text (batch, m, channels)``."""
        time = times(timestep, self.channels)
        high = self.high(self.down(self.first(sample), time), text)
        low = F.interpolate(self.low(self.shrink(high), text), scale_factor=2.0, mode="nearest")
        return self.last(self.back(self.up(torch.cat([high, low], 1), time), text))  # type: ignore[no-any-return]


class Modulated(nn.Module):
    """A block of DiT: scales, shifts and gates from the condition ``(batch, channels)``."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.before, self.between = (nn.LayerNorm(channels, elementwise_affine=False) for _ in range(2))
        self.modulation, self.attention = nn.Linear(channels, 6 * channels), Attention(channels, heads)
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens to tokens."""
        a, b, gate, c, d, end = self.modulation(F.silu(condition)).unsqueeze(1).chunk(6, -1)
        inner = self.before(x) * (1 + a) + b
        x = x + gate * self.attention(inner, inner)
        return x + end * self.mlp(self.between(x) * (1 + c) + d)  # type: ignore[no-any-return]


class DiT(nn.Module):
    """A diffusion transformer over patches of 2 x 2."""

    def __init__(self, side: int = 12, channels: int = 16, heads: int = 2, layers: int = 2) -> None:
        super().__init__()
        self.channels = channels
        self.patches = nn.Conv2d(4, channels, 2, stride=2)
        self.places = nn.Parameter(torch.zeros(1, (side // 2) ** 2, channels))
        self.blocks = nn.ModuleList(Modulated(channels, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(channels), nn.Linear(channels, 16)

    def forward(self, sample: Tensor, timestep: Tensor) -> Tensor:
        """The noise in ``sample (batch, 4, height, width)``."""
        patches = self.patches(sample)
        x, time = patches.flatten(2).transpose(1, 2) + self.places, times(timestep, self.channels)
        for block in self.blocks:
            x = block(x, time)
        grid = self.head(self.norm(x)).reshape(x.shape[0], *patches.shape[2:], 4, 2, 2)
        return grid.permute(0, 3, 1, 4, 2, 5).reshape(sample.shape)  # type: ignore[no-any-return]


class Joint(nn.Module):
    """A block over text and image in one attention, each with weights of its own, as in SD 3 and Flux."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.told, self.seen = (Attention(channels, heads) for _ in range(2))
        self.unit = nn.RMSNorm(channels // heads)
        self.mlp = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, text: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Both to both."""
        pairs = [(self.told, self.norms[0](text)), (self.seen, self.norms[1](image))]
        q = torch.cat([self.unit(side.split(side.query(x))) for side, x in pairs], 2)
        k = torch.cat([self.unit(side.split(side.key(x))) for side, x in pairs], 2)
        v = torch.cat([side.split(side.value(x)) for side, x in pairs], 2)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        told, seen = mixed[:, : text.shape[1]], mixed[:, text.shape[1] :]
        text, image = text + self.told.out(told), image + self.seen.out(seen)
        return text, image + self.mlp(image)


class MMDiT(nn.Module):
    """A diffusion transformer over text and patches together."""

    def __init__(self, channels: int = 16, heads: int = 2, layers: int = 2) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(4, channels, 2, stride=2), nn.Linear(channels, 4)
        self.blocks = nn.ModuleList(Joint(channels, heads) for _ in range(layers))
        self.channels = channels

    def forward(self, sample: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        """The noise in ``sample (batch, 4, height, width)`` at a quarter of its places, given text."""
        patches = self.patches(sample)
        image = patches.flatten(2).transpose(1, 2) + times(timestep, self.channels)[:, None]
        for block in self.blocks:
            text, image = block(text, image)
        return self.head(image).transpose(1, 2).reshape(sample.shape[0], 4, *patches.shape[2:])  # type: ignore[no-any-return]
