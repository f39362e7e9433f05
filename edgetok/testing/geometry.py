"""Transformers on points and views, small and of nothing but torch: groups of a point cloud, and frames of a scene."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgetok.testing.blocks import Block

CHANNELS, HEADS, LAYERS = 32, 2, 2


class PointGroups(nn.Module):
    """A point cloud as groups of neighbours (after Point-MAE): one token a group, a class token, places at every layer.

    A group's token is the maximum of its points' features; its place is an MLP of its centre, and is added before every
    block. The class token and the maximum over groups are what a classifier sees.
    """

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Sequential(nn.Linear(3, CHANNELS), nn.GELU(), nn.Linear(CHANNELS, CHANNELS))
        self.place = nn.Sequential(nn.Linear(3, CHANNELS), nn.GELU(), nn.Linear(CHANNELS, CHANNELS))
        self.class_token = nn.Parameter(torch.zeros(1, 1, CHANNELS))
        self.class_place = nn.Parameter(torch.zeros(1, 1, CHANNELS))
        self.blocks = nn.ModuleList(Block(CHANNELS, HEADS) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(CHANNELS)

    def forward(self, neighbourhood: Tensor, centre: Tensor) -> Tensor:
        """``(batch, groups, points, 3)`` offsets from ``(batch, groups, 3)`` centres to ``(batch, 2 * channels)``."""
        batch = centre.shape[0]
        tokens = self.point(neighbourhood).amax(2)
        x = torch.cat([self.class_token.expand(batch, -1, -1), tokens], 1)
        place = torch.cat([self.class_place.expand(batch, -1, -1), self.place(centre)], 1)
        for block in self.blocks:
            x = block(x + place)
        x = self.norm(x)
        return torch.cat([x[:, 0], x[:, 1:].amax(1)], 1)


class PointParts(nn.Module):
    """A point cloud whose points are tokens, and a label for every point (after PCT)."""

    def __init__(self, parts: int = 4) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(3, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, CHANNELS))
        self.blocks = nn.ModuleList(Block(CHANNELS, HEADS) for _ in range(LAYERS))
        self.head = nn.Linear(2 * CHANNELS, parts)

    def forward(self, points: Tensor) -> Tensor:
        """``(batch, points, 3)`` to ``(batch, points, parts)``."""
        x = self.embed(points)
        for block in self.blocks:
            x = block(x)
        whole = x.amax(1, keepdim=True).expand_as(x)
        return self.head(torch.cat([x, whole], -1))  # type: ignore[no-any-return]


class Views(nn.Module):
    """Frames of a scene (after VGGT): each block attends within frames, then over all tokens of all frames."""

    def __init__(self) -> None:
        super().__init__()
        self.within = nn.ModuleList(Block(CHANNELS, HEADS) for _ in range(LAYERS))
        self.across = nn.ModuleList(Block(CHANNELS, HEADS) for _ in range(LAYERS))
        self.head = nn.Linear(CHANNELS, 3)

    def forward(self, patches: Tensor) -> Tensor:
        """``(batch, frames, patches, channels)`` to a point for every patch, ``(batch, frames, patches, 3)``."""
        batch, frames, count, channels = patches.shape
        x = patches
        for within, across in zip(self.within, self.across, strict=True):
            x = within(x.reshape(batch * frames, count, channels))
            x = across(x.reshape(batch, frames * count, channels))
            x = x.reshape(batch, frames, count, channels)
        return self.head(x)  # type: ignore[no-any-return]
