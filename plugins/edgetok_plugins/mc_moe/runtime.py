"""Running packed weights in torch: a few rows at a time are unpacked, used and forgotten.

What it needs beyond the packed weights, inputs and outputs is ``WORKSPACE`` bytes, whatever the size of the matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok_plugins.mc_moe.attention import Received, watch
from edgetok_plugins.mc_moe.experts.find import Block, find_blocks
from edgetok_plugins.mc_moe.experts.form import MATRICES, Form, Fused, MatrixName, Routing
from edgetok_plugins.mc_moe.experts.stacks import Stacks, read_stacks
from edgetok_plugins.mc_moe.format import METHOD, own_shards
from edgetok_plugins.mc_moe.odp import Pruning, pruned_weights
from edgetok_plugins.mc_moe.packing import PackedWeight, dequantise, linear_for
from edgetok_plugins.mc_moe.shards import Shards
from edgetok_plugins.mc_moe.stored import find_key
from edgetok_plugins.mc_moe.stream import build, fitting

WORKSPACE = 8 << 20
_PER_WEIGHT = 16
"""Bytes that unpacking one weight takes at its height: codes as they are joined and split, and float32 values."""


def packed_linear(inputs: Tensor, weight: PackedWeight, bias: Tensor | None = None) -> Tensor:
    """``inputs [..., in] @ weight.T + bias``, ``[..., out]`` in the dtype of the inputs."""
    out, columns = weight.shape
    step = max(1, WORKSPACE // (_PER_WEIGHT * columns))
    parts = [
        linear(inputs, dequantise(weight.rows(start, min(start + step, out)), inputs.dtype))
        for start in range(0, out, step)
    ]
    made = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
    return made if bias is None else made + bias


class PackedModule(nn.Module):
    """Keeps packed weights as buffers, so that they move and are counted like others."""

    def keep(self, name: str, weight: PackedWeight) -> None:
        """Take a packed weight in."""
        for part in ("codes", "scale", "zero"):
            self.register_buffer(f"{name}_{part}", getattr(weight, part), persistent=False)
        self.__dict__.setdefault("forms", {})[name] = (weight.bits, weight.shape, weight.group)

    def packed(self, name: str) -> PackedWeight:
        """The weight as it is now."""
        bits, shape, group = self.__dict__["forms"][name]
        codes, scale, zero = (getattr(self, f"{name}_{part}") for part in ("codes", "scale", "zero"))
        return PackedWeight(bits, shape, group, codes, scale, zero)

    def tensors(self, path: str) -> dict[str, Tensor]:
        """All packed weights of the module at ``path``, under the names that they have in files."""
        made: dict[str, Tensor] = {}
        for name in self.__dict__.get("forms", {}):
            made |= self.packed(name).tensors(f"{path}.{name.replace('_', '.')}")
        return made


class PackedLinear(PackedModule):
    """A linear layer with a packed weight ``[out, in]``."""

    def __init__(self, weight: PackedWeight, bias: nn.Parameter | None = None) -> None:
        super().__init__()
        self.keep("weight", weight)
        self.bias = bias
        self.out_features, self.in_features = weight.shape

    def forward(self, inputs: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]``."""
        return packed_linear(inputs, self.packed("weight"), self.bias)


class PackedExperts(PackedModule):
    """The experts of a block, each of its own width; in place of transformers' module, with the same arguments.

    With a ``pruning`` those that matter little to a token are not called for it; ``calls`` counts calls of experts
    since it was made, and how many were left out.
    """

    def __init__(
        self,
        form: Form,
        bits: Sequence[int],
        weights: Mapping[MatrixName, Mapping[int, PackedWeight]],
        pruning: Pruning | None = None,
    ) -> None:
        super().__init__()
        self.form, self.bits, self.pruning = form, tuple(bits), pruning
        self.received = Received()
        self.calls, self.saved = 0, 0
        self.inner = cast("Fused", form).module
        self.places = [self.bits[:expert].count(width) for expert, width in enumerate(self.bits)]
        for name in MATRICES:
            for width, weight in weights[name].items():
                self.keep(f"{name}_w{width}", weight)

    def matrix(self, expert: int, name: MatrixName) -> PackedWeight:
        """An expert's packed matrix ``[out, in]``."""
        return self.packed(f"{name}_w{self.bits[expert]}")[self.places[expert]]

    def forward(self, *arguments: Tensor) -> Tensor:
        """What the experts chosen for each token add up to, ``[N, H]``; only their matrices are unpacked."""
        routing = self._pruned(self.form.routing(arguments))
        out = torch.zeros_like(routing.tokens)
        for expert in torch.unique(routing.index).tolist():
            if expert >= len(self.bits):
                continue
            rows, weights = routing.of(expert)
            made = routing.tokens[rows]
            for name in MATRICES:
                made = packed_linear(made, self.matrix(expert, name), self.form.bias(expert, name))
                made = self.form.activate(made) if name == "up" else made
            out.index_add_(0, rows, (made * weights[:, None]).to(out.dtype))
        return out

    def _pruned(self, routing: Routing) -> Routing:
        self.calls += routing.index.numel()
        if self.pruning is None:
            return routing
        keep = self.pruning.keep(routing, self.received.take())
        self.saved += int((~keep).sum())
        index = routing.index.masked_fill(~keep, len(self.bits))
        return Routing(routing.tokens, index, pruned_weights(routing.weights, keep))


def load_packed(directory: Path) -> nn.Module:
    """The model in a directory that ``compress`` wrote: packed weights stay packed, others are float32.

    Raises:
        UnsupportedModel: the directory is no such one.
        BrokenWeights: its files are malformed or incomplete.
    """
    model, shards = build(directory, (METHOD,)), own_shards(directory)
    blocks = find_blocks(model)
    if not all(isinstance(block.form, Fused) for block in blocks):
        raise UnsupportedModel(f"{type(model).__name__} keeps its experts apart.", why="only fused ones are compressed")
    matrices = {f"{block.name}.{parameter}" for block in blocks for parameter in _parameters(block)}
    _fill(model, shards, matrices)
    for block in blocks:
        found = _stacks(shards, block)
        made = PackedExperts(block.form, found.bits, found.weights, found.pruning)
        setattr(block.parent, block.name.rpartition(".")[2], made)
        for parameter in _parameters(block):
            block.experts._parameters.pop(parameter)
        if made.pruning is not None and made.pruning.protect > 0:
            made.received = watch(model, [block])[block.name]
    model.tie_weights()
    return cast("nn.Module", model.eval())


def _parameters(block: Block) -> list[str]:
    return [cast("Fused", block.form).parameter(name) for name in MATRICES]


def _stacks(shards: Shards, block: Block) -> Stacks:
    inside = (name for name in shards if name.startswith(f"{block.name}."))
    return read_stacks({name: shards.read(name) for name in inside}, block)


def _packed(shards: Shards, prefix: str) -> PackedWeight:
    names = [f"{prefix}.{part}" for part in ("codes", "scale", "zero", "layout")]
    return PackedWeight.from_tensors({name: shards.read(name) for name in names if name in shards}, prefix)


def _fill(model: Any, shards: Shards, experts: set[str]) -> None:
    """Read parameters and buffers, experts' excepted, and put packed linear layers in place."""
    tied = set(getattr(model, "_tied_weights_keys", None) or ()) if model.config.tie_word_embeddings else set()
    for name in list(model.state_dict(keep_vars=True)):
        path, _, last = name.rpartition(".")
        owner = model.get_submodule(path)
        if f"{name}.codes" in shards:
            _put_packed(model, name, _packed(shards, name), tied)
        elif name not in experts and name not in tied:
            value = fitting(shards.read(find_key(shards, name)), getattr(owner, last), name)
            if last in owner._buffers:
                owner._buffers[last] = value
            else:
                owner._parameters[last] = nn.Parameter(value.float(), requires_grad=False)


def _put_packed(model: Any, name: str, weight: PackedWeight, tied: set[str]) -> None:
    path, _, last = name.rpartition(".")
    if last != "weight" or name in tied:
        raise BrokenWeights(f"{name} is packed.", why="only weights of linear layers are, and none that is tied")
    layer = linear_for(weight, model.get_submodule(path), path)
    parent, _, child = path.rpartition(".")
    setattr(model.get_submodule(parent), child, PackedLinear(weight, layer.bias))
