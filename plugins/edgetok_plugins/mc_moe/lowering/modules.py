"""Layers with packed weights in the form that captures: static shapes, one ``edgetok::packed_matmul`` for each product.

Experts of one width are one stack, and see every token: what is not chosen is multiplied by 0. That is the arithmetic
of all experts, but their weights are read once and where they lie, and no token is moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from edgetok.ops import packed_matmul
from edgetok_plugins.mc_moe.attention import Received
from edgetok_plugins.mc_moe.experts.form import MATRICES, Form, Fused, MatrixName, Routing
from edgetok_plugins.mc_moe.odp import Pruning, pruned_weights

if TYPE_CHECKING:
    from edgetok_plugins.mc_moe.packing import PackedWeight


class PackedMatrix(nn.Module):
    """A packed weight as buffers; calling it multiplies by the transpose of what it stands for."""

    def __init__(self, weight: PackedWeight) -> None:
        super().__init__()
        self.bits, self.columns, self.group = weight.bits, weight.shape[1], weight.group
        self.register_buffer("codes", weight.codes)
        self.register_buffer("scale", weight.scale)
        if weight.zero is not None:
            self.register_buffer("zero", weight.zero)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., T, in]`` to ``[..., T, out]``."""
        codes, scale = self.get_buffer("codes"), self.get_buffer("scale")
        zero = self._buffers.get("zero")
        return packed_matmul(x, codes, scale, zero, bits=self.bits, columns=self.columns, group=self.group)


class PackedLinear(nn.Module):
    """``nn.Linear`` with a packed weight."""

    def __init__(self, weight: PackedWeight, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.weight, self.bias = PackedMatrix(weight), bias

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]``."""
        product = cast("Tensor", self.weight(x))
        return product if self.bias is None else product + self.bias


class PackedStacks(nn.Module):
    """The experts of a block, stacked by width.

    Args:
        form: of the experts that they stand for, for activation and biases.
        stacks: per matrix and width the packed weights, experts in ascending order.
        bits: the width of each expert.
        pruning: which of the chosen experts count for nothing. They are computed all the same.
    """

    is_packed = True
    """Says to who looks for experts that these are compressed."""

    def __init__(
        self,
        form: Form,
        stacks: Mapping[MatrixName, Mapping[int, PackedWeight]],
        bits: Sequence[int],
        pruning: Pruning | None = None,
    ) -> None:
        super().__init__()
        self._form = [form]  # in a list: its module is no part of this one
        self.pruning, self.received = pruning, Received()
        self.members = {width: [i for i, of in enumerate(bits) if of == width] for width in sorted(set(bits))}
        for name in MATRICES:
            by_width = {f"w{width}": PackedMatrix(weight) for width, weight in stacks[name].items()}
            self.add_module(name, nn.ModuleDict(by_width))
            if isinstance(form, Fused) and form.module.has_bias:
                kept = f"{form.parameter(name)}_bias"
                self.register_parameter(kept, form.module.get_parameter(kept))

    def forward(self, *arguments: Tensor) -> Tensor:
        """What the experts that it replaces make of their arguments."""
        routing = self._pruned(self._form[0].routing(arguments))
        outputs = [self._width(width, routing.tokens, routing.index, routing.weights) for width in self.members]
        return torch.stack(outputs).sum(0) if len(outputs) > 1 else outputs[0]

    def _pruned(self, routing: Routing) -> Routing:
        if self.pruning is None:
            return routing
        keep = self.pruning.keep(routing, self.received.take())
        return Routing(routing.tokens, routing.index, pruned_weights(routing.weights, keep))

    def _width(self, width: int, tokens: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of the experts of one width: ``[T, H]``."""
        form, members = self._form[0], self.members[width]
        hidden = self._multiply("up", width, tokens.unsqueeze(0))
        out = self._multiply("down", width, form.activate(hidden))
        numbers = torch.tensor(members, device=tokens.device).reshape(-1, 1, 1)
        shares = (weights.unsqueeze(0) * (index.unsqueeze(0) == numbers)).sum(-1, keepdim=True)
        return (out * shares.to(out.dtype)).sum(0)

    def _multiply(self, name: MatrixName, width: int, x: Tensor) -> Tensor:
        product = cast("Tensor", cast("nn.ModuleDict", self.get_submodule(name))[f"w{width}"](x))
        form = self._form[0]
        bias = self._parameters.get(f"{form.parameter(name)}_bias") if isinstance(form, Fused) else None
        if bias is None:
            return product
        return product + torch.stack([bias[expert] for expert in self.members[width]]).unsqueeze(1)
