"""Directories that ``compress`` wrote, as models to start from: to export, merge tokens in, verify and measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.sources.huggingface import read_config, unquantised
from edgetok_plugins.mc_moe.compress import packed_tensors
from edgetok_plugins.mc_moe.format import METHOD, check_mark
from edgetok_plugins.mc_moe.lowering.replace import packed_component
from edgetok_plugins.mc_moe.runtime import load_packed

if TYPE_CHECKING:
    from torch import Tensor

    from edgetok.model import Model


def load_compressed(ref: str) -> Model:
    """The model in a directory that ``compress`` wrote: packed weights stay packed, others are float32.

    Raises:
        UnsupportedModel: the directory is no such one, or of a format that is not known.
        BrokenWeights: its files are malformed, incomplete or do not fit the model.
    """
    directory = Path(ref)
    config = read_config(directory)
    check_mark(directory, config, METHOD)
    packed = packed_tensors(directory)
    dense = unquantised(directory, config, source=ref)

    def read() -> Mapping[str, Tensor]:
        model = load_packed(directory)
        found = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
        return {name.replace(".inner.", "."): value for name, value in found.items()}  # biases beside packed experts

    component = packed_component(replace(dense.only, weights=read), packed)
    note = "It came with packed experts: dense figures are those of the same packed weights."
    return replace(dense, components={component.name: component}, directory=None, notes=(*dense.notes, note))
