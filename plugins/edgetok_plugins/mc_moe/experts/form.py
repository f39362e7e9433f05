"""What an expert is, and the two ways in which transformers 5 keeps many of them.

An expert is two matrices: ``up [u, H]`` (rows of gate and up together where there is a gate) and ``down [H, I]``. For a
token ``x`` it computes ``down @ activate(up @ x + b_up) + b_down``; the block adds up the outputs of the chosen
experts, each times its routing weight.

| form | where | kept as |
|---|---|---|
| ``Fused`` | most families | one 3-D parameter for all experts, transposed or not, with biases or without |
| ``Separate`` | Switch, NLLB | a ``ModuleDict`` of small networks |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard, cast

import torch
from torch import Tensor, nn

MatrixName = Literal["up", "down"]
MATRICES: tuple[MatrixName, ...] = ("up", "down")


@dataclass(frozen=True)
class Routing:
    """What a router decided.

    Attributes:
        tokens: ``[N, H]``, inputs of the experts.
        index: int64 ``[N, k]``, the chosen experts; the number of experts itself means: none.
        weights: ``[N, k]``, what their outputs are multiplied by.
    """

    tokens: Tensor
    index: Tensor
    weights: Tensor

    def of(self, expert: int) -> tuple[Tensor, Tensor]:
        """Rows of ``tokens`` that go to ``expert``, and their weights: int64 ``[n]`` and ``[n]``."""
        row, place = torch.where(self.index == expert)
        return row, self.weights[row, place]


class Form(Protocol):
    """The experts of one block, whatever keeps them. Indices of experts count from 0."""

    @property
    def count(self) -> int:
        """How many experts there are."""

    def shape(self, name: MatrixName) -> tuple[int, int]:
        """``(out, in)`` of a matrix."""

    def matrix(self, expert: int, name: MatrixName) -> Tensor:
        """An expert's matrix ``[out, in]``, a view of the parameter."""

    def bias(self, expert: int, name: MatrixName) -> Tensor | None:
        """Its bias ``[out]``, where there is one."""

    def canonical(self, stored: Tensor, name: MatrixName) -> Tensor:
        """A matrix as files keep it, as ``[out, in]``."""

    def activate(self, projected: Tensor) -> Tensor:
        """Between the matrices: ``[n, u]`` to ``[n, I]``."""

    def routing(self, arguments: Sequence[Tensor]) -> Routing:
        """The arguments of the experts' forward, in one form."""


@dataclass(frozen=True)
class Fused:
    """All experts in two 3-D parameters, as ``use_experts_implementation`` describes them."""

    module: Any
    count: int

    @staticmethod
    def fits(module: nn.Module) -> TypeGuard[nn.Module]:
        """Whether a module keeps its experts so, and does nothing after them that this form does not know."""
        flags = all(hasattr(module, name) for name in ("has_gate", "has_bias", "is_transposed", "_apply_gate"))
        if not flags or getattr(module, "has_post_expert_norm", False):
            return False
        form = Fused(module, 0)
        parameters = [getattr(module, form.parameter(name), None) for name in MATRICES]
        return all(isinstance(each, nn.Parameter) and each.dim() == 3 for each in parameters)

    @classmethod
    def of(cls, module: nn.Module) -> Fused:
        """The form of a module that fits."""
        return cls(module, int(cast("Any", module).down_proj.shape[0]))

    def parameter(self, name: MatrixName) -> str:
        """The name of the 3-D parameter."""
        return "down_proj" if name == "down" else ("gate_up_proj" if self.module.has_gate else "up_proj")

    def shape(self, name: MatrixName) -> tuple[int, int]:
        """``(out, in)`` of a matrix."""
        _, first, second = getattr(self.module, self.parameter(name)).shape
        return (second, first) if self.module.is_transposed else (first, second)

    def matrix(self, expert: int, name: MatrixName) -> Tensor:
        """An expert's matrix ``[out, in]``, a view of the parameter."""
        return self.canonical(getattr(self.module, self.parameter(name)).detach()[expert], name)

    def bias(self, expert: int, name: MatrixName) -> Tensor | None:
        """Its bias ``[out]``, where there is one."""
        if not self.module.has_bias:
            return None
        return cast("Tensor", getattr(self.module, f"{self.parameter(name)}_bias").detach()[expert])

    def canonical(self, stored: Tensor, name: MatrixName) -> Tensor:
        """A matrix as the parameter has it, as ``[out, in]``."""
        return stored.T if self.module.is_transposed else stored

    def activate(self, projected: Tensor) -> Tensor:
        """The module's own gating, or its activation where there is no gate."""
        apply = self.module._apply_gate if self.module.has_gate else self.module.act_fn
        return cast("Tensor", apply(projected))

    def routing(self, arguments: Sequence[Tensor]) -> Routing:
        """Tokens, indices and weights, in this order."""
        tokens, index, weights = arguments
        return Routing(tokens, index, weights)


@dataclass(frozen=True)
class Separate:
    """A ``ModuleDict`` of networks with ``wi``/``wo`` or ``fc1``/``fc2``, chosen by one-hot masks."""

    module: Any
    count: int

    @staticmethod
    def fits(module: nn.Module) -> TypeGuard[nn.ModuleDict]:
        """Whether a module keeps its experts so."""
        return isinstance(module, nn.ModuleDict) and len(module) > 0 and all(map(_layers, module.values()))

    @classmethod
    def of(cls, module: nn.Module) -> Separate:
        """The form of a module that fits."""
        return cls(module, len(cast("nn.ModuleDict", module)))

    def linear(self, expert: int, name: MatrixName) -> nn.Linear:
        """The layer that holds a matrix."""
        first, second = _layers(self.module[f"expert_{expert}"]) or (None, None)
        return cast("nn.Linear", second if name == "down" else first)

    def shape(self, name: MatrixName) -> tuple[int, int]:
        """``(out, in)`` of a matrix."""
        layer = self.linear(0, name)
        return layer.out_features, layer.in_features

    def matrix(self, expert: int, name: MatrixName) -> Tensor:
        """An expert's matrix ``[out, in]``, a view of the parameter."""
        return self.linear(expert, name).weight.detach()

    def bias(self, expert: int, name: MatrixName) -> Tensor | None:
        """Its bias ``[out]``, where there is one."""
        bias = cast("Tensor | None", self.linear(expert, name).bias)
        return None if bias is None else bias.detach()

    def canonical(self, stored: Tensor, name: MatrixName) -> Tensor:
        """Files keep it as it is."""
        return stored

    def activate(self, projected: Tensor) -> Tensor:
        """The network's activation."""
        return cast("Tensor", self.module["expert_0"].act(projected))

    def routing(self, arguments: Sequence[Tensor]) -> Routing:
        """A token that its expert has no room for has a mask of zeros, and so no expert."""
        tokens, mask, weights = arguments
        chosen = mask.flatten(1)
        index = torch.where(chosen.any(1), chosen.int().argmax(1), self.count)
        return Routing(tokens, index[:, None], weights)


def _layers(expert: nn.Module) -> tuple[nn.Linear, nn.Linear] | None:
    for names in (("wi", "wo"), ("fc1", "fc2")):
        first, second = (getattr(expert, name, None) for name in names)
        if isinstance(first, nn.Linear) and isinstance(second, nn.Linear) and hasattr(expert, "act"):
            return first, second
    return None


def expert_output(form: Form, expert: int, tokens: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """What an expert with these matrices makes of ``tokens [n, H]``: ``[n, H]``, not yet weighted."""
    hidden = form.activate(nn.functional.linear(tokens, up, form.bias(expert, "up")))
    return nn.functional.linear(hidden, down, form.bias(expert, "down"))
