"""A re-traced program as a module that ``torch.export`` can capture again."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from edgetok.graph.retrace import Retrace


class Retraced(nn.Module):
    """A module whose forward is a walk; its parameters and buffers have the state-dict names of the program."""

    def __init__(self, plan: Retrace) -> None:
        super().__init__()
        exported = plan.program.exported
        for name, tensor in {**exported.state_dict, **exported.constants}.items():
            if isinstance(tensor, Tensor):
                _attach(self, name, tensor, persistent=name in exported.state_dict)
        self.forward = self._forward(plan)

    def _forward(self, plan: Retrace) -> Callable[..., tuple[Tensor, ...]]:
        """A forward whose signature names the program's inputs, as ``torch.export`` wants it."""

        def forward(**inputs: Tensor) -> tuple[Tensor, ...]:
            return tuple(plan.run(inputs, lambda name: _find(self, name)))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(spec.name, kind) for spec in plan.program.inputs]
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return forward


def _attach(root: nn.Module, name: str, tensor: Tensor, *, persistent: bool) -> None:
    *path, leaf = name.split(".")
    for part in path:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    if isinstance(tensor, nn.Parameter):
        root.register_parameter(leaf, tensor)
    else:
        root.register_buffer(leaf, tensor, persistent=persistent)


def _find(root: nn.Module, name: str) -> Tensor:
    tensor: Tensor = operator.attrgetter(name)(root)
    return tensor
