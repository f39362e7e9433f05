"""A ViT with mixtures of experts, hand-built: transformers 5.23 has none that captures."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgetok.model import Component
from edgetok.testing import zoo
from edgetok.testing.blocks import Block


class VisionExperts(nn.Module):
    """Pictures ``[B, 3, 40, 40]`` to ``logits [B, 7]``: patches of 8, a class token, experts as Mixtral keeps them."""

    def __init__(self, channels: int, heads: int, layers: int, experts: int) -> None:
        super().__init__()
        self.embed_patches = nn.Conv2d(3, channels, 8, 8)
        self.embed_class = nn.Parameter(torch.zeros(1, 1, channels))
        self.embed_places = nn.Parameter(torch.zeros(1, 26, channels))
        self.blocks = nn.ModuleList([_block(channels, heads, experts) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(channels), nn.Linear(channels, 7)

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Class scores by the class token."""
        patches = self.embed_patches(pixel_values).flatten(2).transpose(1, 2)
        x = torch.cat([self.embed_class.expand(len(patches), -1, -1), patches], 1) + self.embed_places
        for block in self.blocks:
            x = block(x)
        return {"logits": self.head(self.norm(x)[:, 0])}


def _block(channels: int, heads: int, experts: int) -> Block:
    import pytest

    transformers = pytest.importorskip("transformers", reason="its experts are those of transformers")
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    from edgetok.sources.experts import implementation

    config = transformers.MixtralConfig(hidden_size=channels, intermediate_size=channels, num_local_experts=experts)
    config._experts_implementation = implementation()
    made = Block(channels, heads)
    made.mlp = MixtralSparseMoeBlock(config)
    return made


def vision_experts() -> Component:
    """A classifier of pictures whose tokens choose two of four experts, in each of three layers."""
    return zoo.component("vision-experts", VisionExperts(32, 2, 3, 4), zoo.pictures(), role="classifier")
