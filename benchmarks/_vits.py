"""The models measured: ViTs of published shapes with random weights, captured, merged and sliced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgetok.graph import Program, capture, find_sites, rewrite
from edgetok.model import Component
from edgetok.plan import make_plan, steps_of
from edgetok.plugin import TokenReduction
from edgetok.target import Target
from edgetok_plugins.tome import ToMe

if TYPE_CHECKING:
    from transformers import ViTForImageClassification


@dataclass(frozen=True)
class Shape:
    """The size of a ViT/16; at 224 pixels it has 197 tokens."""

    name: str
    channels: int
    heads: int
    layers: int = 12
    image: int = 224


SHAPES = (Shape("ViT-Ti/16", 192, 3), Shape("ViT-S/16", 384, 6))


def model_of(shape: Shape) -> ViTForImageClassification:
    """A transformers ViT of a shape; latency does not depend on the weights."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=shape.channels,
        num_hidden_layers=shape.layers,
        image_size=shape.image,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.channels,
        num_labels=1000,
    )
    return ViTForImageClassification(config).eval()


def component_of(shape: Shape) -> Component:
    """The model with example inputs of batch 2 and a dynamic batch."""
    pixels = {"pixel_values": torch.randn(2, 3, shape.image, shape.image)}
    return Component("model", model_of(shape), pixels, {"pixel_values": {0: "batch"}}, "classifier")


def captured(shape: Shape) -> Program:
    """The program as captured and normalised."""
    return capture(component_of(shape))


def merged(program: Program, r: int, target: Target) -> Program:
    """Token Merging with ``r`` tokens per layer and proportional attention."""
    return reduced(program, ToMe(r=r), target)


def reduced(program: Program, plugin: TokenReduction, target: Target) -> Program:
    """The program with a token reduction applied."""
    plugins = [plugin]
    sites = find_sites(program)
    return rewrite(program, steps_of(make_plan(program, sites, plugins, target), sites, plugins))
