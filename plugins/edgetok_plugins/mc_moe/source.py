"""Directories that ``compress`` wrote, as models to start from: to export, merge tokens in, verify and measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgetok.sources.fake import fake_mode
from edgetok.sources.huggingface import read_config, unquantised
from edgetok_plugins.mc_moe.compress import MATRICES, PACKED
from edgetok_plugins.mc_moe.format import METHOD, check_mark, own_shards
from edgetok_plugins.mc_moe.lowering.replace import packed_component
from edgetok_plugins.mc_moe.runtime import PackedModule, load_packed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgetok.model import Model
    from edgetok_plugins.mc_moe.shards import Shards


def load_compressed(ref: str) -> Model:
    """The model in a directory that ``compress`` wrote: packed weights stay packed, others are float32.

    Weights are read by ``component.weights()``: until then packed ones are fake, as the others are.

    Raises:
        UnsupportedModel: the directory is no such one, or of a format that is not known.
        BrokenWeights: its files are malformed, incomplete or do not fit the model.
    """
    directory = Path(ref)
    config = read_config(directory)
    check_mark(directory, config, METHOD)
    shards = own_shards(directory)
    dense = unquantised(directory, config, source=ref)
    packed = _described(shards, dense.only.module)
    component = packed_component(replace(dense.only, weights=partial(_read, directory)), packed)
    note = "It came with packed experts: dense figures are those of the same packed weights."
    return replace(dense, components={component.name: component}, directory=None, notes=(*dense.notes, note))


def _read(directory: Path) -> Mapping[str, Tensor]:
    """All weights, packed ones under the names that they have in files."""
    model = load_packed(directory)
    found = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    named = {name.replace(".inner.", "."): value for name, value in found.items()}  # biases beside packed experts
    for path, module in model.named_modules():
        if isinstance(module, PackedModule):
            named |= module.tensors(path)
    return named


def _described(shards: Shards, model: nn.Module) -> dict[str, Tensor]:
    """The packed matrices by name, codes, scales and zero points as fake as the parameters of ``model``."""
    mode = fake_mode(model)

    def tensor(name: str) -> Tensor:
        place = shards.places[name]
        if not name.endswith(MATRICES):
            return shards.read(name)
        with mode:
            return torch.empty(place.shape, dtype=place.dtype)

    return {name: tensor(name) for name in shards if name.endswith(PACKED)}
