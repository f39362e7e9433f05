"""Inputs to compare models on: real samples where there are any, seeded ones where not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from edgetok.graph import Program

Arrays = dict[str, np.ndarray]


def seeded(program: Program, samples: int, seed: int) -> Arrays:
    """``samples`` generated inputs: normal noise, indices within what the example inputs use, masks with padding."""
    from edgetok.graph.normalise import understand_masks

    generator = torch.Generator().manual_seed(seed)
    padding = {mask.source for mask in understand_masks(program).values() if mask.kind == "padding"}
    made = {}
    for name, tensor in program.example.items():
        dynamic = program.dynamic.get(name, {})
        shape = [samples if i in dynamic else n for i, n in enumerate(tensor.shape)]
        draw = _padding if program.placeholders[name] in padding else _like
        made[name] = draw(shape, tensor, generator).to(tensor.dtype).numpy()
    return made


def _like(shape: list[int], tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if tensor.is_floating_point():
        return torch.randn(shape, generator=generator)
    low, high = int(tensor.min()), int(tensor.max())
    return torch.randint(low, high + 1, shape, generator=generator)


def _padding(shape: list[int], tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rows of ones followed by zeros, at least half ones; a mask as tokenizers make it."""
    length = shape[-1]
    lengths = torch.randint(max(length // 2, 1), length + 1, shape[:-1], generator=generator)
    return (torch.arange(length) < lengths.unsqueeze(-1)).long()


def batches(inputs: Mapping[str, np.ndarray], size: int) -> list[Arrays]:
    """Named arrays cut along axis 0; an incomplete last batch is left out unless it is the only one."""
    total = len(next(iter(inputs.values())))
    size = min(size, total)
    return [{k: v[i : i + size] for k, v in inputs.items()} for i in range(0, total - size + 1, size)]


def repeated(inputs: Mapping[str, np.ndarray], batch: int) -> Arrays:
    """The samples repeated up to a batch size."""
    return {k: np.concatenate([v] * (-(-batch // len(v))))[:batch] for k, v in inputs.items()}
