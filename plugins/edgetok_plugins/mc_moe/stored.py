"""Under which names files keep what modules hold, and an expert's matrices out of any of them.

transformers 5 fuses experts when it loads and parts them again when it saves, and some families have other names on
disk than in the model. ``E`` is the path of the experts, ``B`` that of the block around them:

| on disk | families |
|---|---|
| ``E.gate_up_proj`` ``[experts, ...]``, ``E.down_proj`` | gpt-oss, and whatever was saved fused |
| ``E.0.gate_proj.weight``, ``up_proj``, ``down_proj`` | OLMoE, Qwen, DeepSeek and most others |
| ``E.0.w1.weight``, ``w3``, ``w2`` | Mixtral, PhiMoE |
| ``B.input_linear.weight`` ``[experts, ...]``, ``B.output_linear.weight`` | GraniteMoE |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from edgetok.errors import BrokenWeights
from edgetok_plugins.mc_moe.experts.form import Fused, MatrixName
from edgetok_plugins.mc_moe.shards import Shards

_RENAMED = (
    (".mlp.", ".block_sparse_moe."),
    (".router.weight", ".gate.weight"),
    (".router.weight", ".router.layer.weight"),
)
_PARTS: tuple[Mapping[MatrixName, tuple[str, ...]], ...] = (
    {"up": ("gate_proj", "up_proj"), "down": ("down_proj",)},
    {"up": ("w1", "w3"), "down": ("w2",)},
)


def find_key(shards: Shards, name: str) -> str:
    """The name in the files of what the model calls ``name``.

    Raises:
        BrokenWeights: none of the names it may have is there.
    """
    tried = list(_names(name))
    for candidate in tried:
        if candidate in shards:
            return candidate
    raise BrokenWeights(f"The files have no weight {name}.", why=f"looked for {', '.join(tried)}")


@dataclass(frozen=True)
class StoredExperts:
    """The matrices of a block's experts, read from files one expert at a time."""

    shards: Shards
    form: Fused
    keys: Mapping[MatrixName, tuple[str, ...]]
    """Names with ``{}`` for the number of the expert; without it, of a tensor of all experts."""

    def read(self, expert: int, name: MatrixName, dtype: torch.dtype = torch.float32) -> Tensor:
        """A matrix ``[out, in]``.

        Raises:
            BrokenWeights: it has another shape than the model's.
        """
        parts = [self._part(key, expert, name).to(dtype) for key in self.keys[name]]
        matrix = torch.cat(parts) if len(parts) > 1 else parts[0]
        if tuple(matrix.shape) != self.form.shape(name):
            key = self.keys[name][0].format(expert)
            why = f"shape {tuple(matrix.shape)}, expected {self.form.shape(name)}"
            raise BrokenWeights(f"The weights do not fit the model: {key}.", why=why)
        return matrix.contiguous()

    def all_keys(self) -> set[str]:
        """Every name in the files that holds a matrix of these experts."""
        return {key.format(expert) for keys in self.keys.values() for key in keys for expert in range(self.form.count)}

    def _part(self, key: str, expert: int, name: MatrixName) -> Tensor:
        if "{}" in key:
            return self.shards.read(key.format(expert))
        return self.form.canonical(self.shards.read(key, expert), name)


def stored_experts(shards: Shards, name: str, form: Fused) -> StoredExperts:
    """Find out how the files keep the experts that the model has at ``name``.

    Raises:
        BrokenWeights: in none of the ways that are known.
    """
    tried = []
    for keys in _layouts(name, form):
        first = [key.format(0) for part in keys.values() for key in part]
        if all(key in shards for key in first):
            return StoredExperts(shards, form, keys)
        tried += first[:1]
    raise BrokenWeights(f"The files have no experts {name}.", why=f"looked for {', '.join(tried)}")


def _layouts(name: str, form: Fused) -> Iterator[Mapping[MatrixName, tuple[str, ...]]]:
    for path in _names(f"{name}."):
        yield {"up": (f"{path}{form.parameter('up')}",), "down": (f"{path}down_proj",)}
        block = path.removesuffix("experts.")
        yield {"up": (f"{block}input_linear.weight",), "down": (f"{block}output_linear.weight",)}
        if form.module.is_transposed or not form.module.is_concatenated:
            continue
        for parts in _PARTS:
            up = parts["up"] if form.module.has_gate else parts["up"][1:]
            yield {
                "up": tuple(f"{path}{{}}.{part}.weight" for part in up),
                "down": tuple(f"{path}{{}}.{part}.weight" for part in parts["down"]),
            }


def _names(name: str) -> Iterator[str]:
    """The name itself first, then with other words in it, then without the prefix of the base model."""
    words = [(old, (old, new)) for old, new in _RENAMED if old in name]
    for choice in product(*(options for _, options in words)):
        changed = name
        for (old, _), new in zip(words, choice, strict=True):
            changed = changed.replace(old, new)
        yield changed
        yield changed.removeprefix("model.")
