"""Token Merging written out literally, one sample and one token at a time, from the paper's equations.

Nothing here comes from the engine or the ops: plain loops over Python lists, on the model's own layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

Order = Callable[[list[int], list[int], int], list[int]]


@dataclass
class Token:
    """A token: its feature, how many original tokens it stands for, which ones, and where its representative was."""

    feature: Tensor
    size: int
    sources: list[int]
    place: int


@dataclass
class Layer:
    """A pre-norm transformer layer, taken apart. ``heads(h, places)`` gives q, k, v, each ``(H, N, d)``."""

    before: nn.Module
    heads: Callable[[Tensor, list[int]], tuple[Tensor, Tensor, Tensor]]
    out: nn.Module
    scale1: Any
    after: nn.Module
    mlp: nn.Module
    scale2: Any
    bias: Tensor | None = None


def merge(tokens: list[Token], metric: Tensor, r: int, prefix: int, order: Order) -> list[Token]:
    """Bipartite soft matching of tokens at even and odd places behind the prefix; the r most similar pairs merge."""
    places = range(prefix, len(tokens))
    even, odd = [i for i in places if i % 2 == 0], [i for i in places if i % 2 == 1]
    unit = metric / metric.norm(dim=-1, keepdim=True)
    proposals = []
    for a in even:
        cosines = [float(unit[a] @ unit[b]) for b in odd]
        best = max(range(len(odd)), key=lambda j, cosines=cosines: (cosines[j], -j))
        proposals.append((-cosines[best], a, odd[best]))
    chosen = {a: b for _, a, b in sorted(proposals)[: min(r, (len(tokens) - prefix) // 2)]}
    groups = {i: [i] for i in range(len(tokens)) if i not in chosen}
    for a, b in chosen.items():
        groups[b].append(a)
    arranged = order([i for i in even if i not in chosen], odd, prefix)
    return [_mean([tokens[i] for i in groups[k]]) for k in arranged]


def _mean(group: list[Token]) -> Token:
    size = sum(t.size for t in group)
    feature = sum(t.size * t.feature for t in group) / size
    return Token(feature, size, [s for t in group for s in t.sources], group[0].place)


def paper_order(unmerged: list[int], odd: list[int], prefix: int) -> list[int]:
    """The paper's order: unmerged of A, then B, with one or two prefix tokens the first of A and of B."""
    if prefix == 1:  # the class token is the first of A
        return [0, *unmerged, *odd]
    if prefix == 2:  # the distillation token is the first of B
        a, b = [0, *unmerged], [1, *odd]
        return [a[0], b[0], *a[1:], *b[1:]]
    return [*range(prefix), *unmerged, *odd]


def kept_order(unmerged: list[int], odd: list[int], prefix: int) -> list[int]:
    """As they were."""
    return [*range(prefix), *sorted([*unmerged, *odd])]


def walk(
    start: Tensor, layers: list[Layer], r: list[int], prefix: int, order: Order, proportional: bool
) -> list[Token]:
    """All layers on one sample ``(N, C)``."""
    tokens = [Token(feature, 1, [i], i) for i, feature in enumerate(start)]
    for layer, merged in zip(layers, r, strict=True):
        x = torch.stack([t.feature for t in tokens])
        places = [t.place for t in tokens]
        q, k, v = layer.heads(layer.before(x[None])[0], places)
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        if layer.bias is not None:
            scores = scores + layer.bias[:, places][:, :, places]
        if proportional:
            scores = scores + torch.tensor([math.log(t.size) for t in tokens])
        mixed = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
        x = x + layer.scale1 * layer.out(mixed)
        tokens = [Token(f, t.size, t.sources, t.place) for f, t in zip(x, tokens, strict=True)]
        tokens = merge(tokens, k.mean(0), merged, prefix, order)
        x = torch.stack([t.feature for t in tokens])
        x = x + layer.scale2 * layer.mlp(layer.after(x[None]))[0]
        tokens = [Token(f, t.size, t.sources, t.place) for f, t in zip(x, tokens, strict=True)]
    return tokens


def restored(tokens: list[Token], number: int) -> Tensor:
    """``(number, C)``: every original token has the feature of the one that stands for it."""
    held = {source: t.feature for t in tokens for source in t.sources}
    return torch.stack([held[i] for i in range(number)])


class Literal:
    """Literal Token Merging for the model classes of transformers: what it takes from a model is named here."""

    merge = staticmethod(merge)
    paper_order = staticmethod(paper_order)
    kept_order = staticmethod(kept_order)
    restored = staticmethod(restored)

    @staticmethod
    def run(model: nn.Module, pixels: Tensor, prefix: int, r: list[int], order: Order, proportional: bool = True):
        """The tokens of every sample after the last layer, before the final norm."""
        body = getattr(model, "vit", None) or getattr(model, "deit", None) or model
        rope = body.rope_embeddings(pixels) if hasattr(body, "rope_embeddings") else None
        layers = [_layer(block, prefix, rope, pixels) for block in _blocks(body)]
        start = body.embeddings(pixels)
        with torch.no_grad():
            return [walk(sample, layers, r, prefix, order, proportional) for sample in start]


def _blocks(body: nn.Module) -> nn.ModuleList:
    for holder in (body, getattr(body, "encoder", None), getattr(body, "model", None)):
        for name in ("layers", "layer"):
            if isinstance(getattr(holder, name, None), nn.ModuleList):
                return getattr(holder, name)
    raise AssertionError(f"no layers in {type(body).__name__}")


def _layer(block: nn.Module, prefix: int, rope: tuple[Tensor, Tensor] | None, pixels: Tensor) -> Layer:
    attention, heads = block.attention, 2

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (heads, -1)).transpose(0, 1)

    def project(h: Tensor, places: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (split(getattr(attention, f"{name}_proj")(h)) for name in "qkv")
        return (q, k, v) if rope is None else (rotate(q, places, prefix, rope), rotate(k, places, prefix, rope), v)

    named = {name: getattr(block, name) for name in ("layernorm_before", "layernorm_after") if hasattr(block, name)}
    positions = getattr(block, "relative_position_bias", None)
    window = tuple(n // block.patch_size for n in pixels.shape[2:]) if positions is not None else ()
    return Layer(
        before=named.get("layernorm_before") or block.norm1,
        heads=project,
        out=attention.o_proj,
        scale1=_scale(block, 1),
        after=named.get("layernorm_after") or block.norm2,
        mlp=block.mlp,
        scale2=_scale(block, 2),
        bias=positions(window).reshape(heads, *[window[0] * window[1] + 1] * 2).detach() if window else None,
    )


def _scale(block: nn.Module, number: int) -> Any:
    """LayerScale, as DINOv2 or BEiT names it; 1 without."""
    module = getattr(block, f"layer_scale{number}", None)
    return getattr(block, f"lambda_{number}", 1.0) if module is None else module.lambda1


def rotate(x: Tensor, places: list[int], prefix: int, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions, token by token, each by the place of its representative."""
    cos, sin = (table.reshape(-1, x.shape[-1]) for table in rope)
    out = x.clone()
    half = x.shape[-1] // 2
    for row, place in enumerate(places):
        if place >= prefix:
            turned = torch.cat([-x[:, row, half:], x[:, row, :half]], -1)
            out[:, row] = x[:, row] * cos[place - prefix] + turned * sin[place - prefix]
    return out


@pytest.fixture(scope="session")
def literal() -> type[Literal]:
    """Token Merging from the equations."""
    return Literal
