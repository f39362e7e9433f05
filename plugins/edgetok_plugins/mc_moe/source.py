"""Directories that ``compress`` wrote, as models to start from: to export, merge tokens in, verify and measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgetok.errors import BrokenWeights
from edgetok.sources.fake import fake_mode
from edgetok.sources.huggingface import read_config, unquantised
from edgetok_plugins.mc_moe.compress import MATRICES, PACKED
from edgetok_plugins.mc_moe.experts.find import find_blocks
from edgetok_plugins.mc_moe.format import METHOD, check_mark, own_shards
from edgetok_plugins.mc_moe.lowering.replace import packed_component
from edgetok_plugins.mc_moe.packing import AGAIN
from edgetok_plugins.mc_moe.runtime import PackedModule, load_packed
from edgetok_plugins.mc_moe.stored import find_key

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgetok.model import Model
    from edgetok_plugins.mc_moe.shards import Shards


def load_compressed(ref: str) -> Model:
    """The model in a directory that ``compress`` wrote: packed weights stay packed, others are float32.

    Weights are read by ``component.weights()``: until then packed ones are fake, as the others are. That all are there,
    and of the model's shapes, is known before.

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
    _check_experts(dense.only.module, packed)
    component = packed_component(replace(dense.only, weights=partial(_read, directory)), packed)
    _check_complete(shards, component.module)
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


def _check_experts(model: nn.Module, packed: Mapping[str, Tensor]) -> None:
    for block in find_blocks(model):
        if f"{block.name}.bits" not in packed:
            why = f"there is no {block.name}.bits"
            raise BrokenWeights(f"{block.name} has no packed experts.", why=why, hint=AGAIN)


def _check_complete(shards: Shards, model: nn.Module) -> None:
    """Refuse files that lack a weight, or have it in another shape; of tied ones any name will do."""
    named: dict[int, list[str]] = {}
    state = model.state_dict(keep_vars=True)
    for name, value in state.items():
        named.setdefault(id(value), []).append(name)
    for names in named.values():
        name = next((name for name in names if name in shards), names[0])
        found, expected = shards.places[find_key(shards, name)].shape, tuple(state[name].shape)
        if found != expected:
            raise BrokenWeights(
                f"The weights do not fit the model: {name}.", why=f"shape {found}, expected {expected}", hint=AGAIN
            )


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
