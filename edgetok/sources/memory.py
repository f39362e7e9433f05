"""A module that is already in memory."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgetok.errors import BadInputs
from edgetok.model import Component, Model, Role

if TYPE_CHECKING:
    from torch import Tensor, nn


_TRAINING = "the module was in training mode: it was taken as in eval mode, without dropout"


def from_module(
    module: nn.Module,
    inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor],
    *,
    name: str = "",
    source: str = "",
    role: Role = "generic",
) -> Model:
    """Wrap a module and its example inputs as a one-component Model.

    The module itself is not changed: one in training mode gives an eval-mode view that shares its parameters.

    Args:
        module: any ``nn.Module``.
        inputs: a tensor, a sequence of tensors in the order of ``forward``'s parameters, or tensors by parameter
            name. Axis 0 becomes the dynamic ``"batch"`` of every input whose axis 0 has the same size as the first
            input's; a batch of one is repeated to two, so that capture does not specialise it.
        name: of the model; the class name by default.
        source: what a recipe writes to load it again; empty where it cannot be loaded again.
        role: what the outputs mean.

    Raises:
        BadInputs: there are no inputs, or they do not fit ``forward``'s parameters.
    """
    named = _by_name(module, inputs)
    batch = batch_size(named)
    component = Component(
        name="model",
        module=eval_view(module),
        inputs=repeat_single(named, batch),
        dynamic={key: {0: "batch"} for key in _batched(named, batch)},
        role=role,
    )
    notes = (_TRAINING,) if component.module is not module else ()
    return Model(name=name or type(module).__name__, source=source, components={"model": component}, notes=notes)


def eval_view(module: nn.Module) -> nn.Module:
    """The module itself if all of it is in eval mode, else a copy in eval mode that shares parameters and buffers."""
    return _eval_copy(module, {}) if any(part.training for part in module.modules()) else module


def _eval_copy(module: nn.Module, done: dict[int, nn.Module]) -> nn.Module:
    if id(module) not in done:
        done[id(module)] = view = copy.copy(module)
        children = {key: None if child is None else _eval_copy(child, done) for key, child in module._modules.items()}
        view.__dict__.update(training=False, _modules=children)
    return done[id(module)]


def batch_size(inputs: Mapping[str, Tensor]) -> int | None:
    """Axis 0 of the first input that has one; None where no input has axes."""
    return next((tensor.shape[0] for tensor in inputs.values() if tensor.dim() > 0), None)


def repeat_single(inputs: Mapping[str, Tensor], batch: int | None) -> dict[str, Tensor]:
    """Inputs with a batch of one repeated to two; others as they are."""
    if batch != 1:
        return dict(inputs)
    batched = _batched(inputs, batch)
    return {
        key: tensor.repeat(2, *[1] * (tensor.dim() - 1)) if key in batched else tensor for key, tensor in inputs.items()
    }


def _batched(inputs: Mapping[str, Tensor], batch: int | None) -> tuple[str, ...]:
    return tuple(key for key, tensor in inputs.items() if tensor.dim() > 0 and tensor.shape[0] == batch)


def _by_name(module: nn.Module, inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor]) -> dict[str, Tensor]:
    import torch

    parameters = [
        parameter
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
    ]
    named = {p.name: p for p in parameters if p.kind is not p.VAR_KEYWORD}
    if isinstance(inputs, torch.Tensor):
        inputs = (inputs,)
    if isinstance(inputs, Mapping):
        result = dict(inputs)
        unknown = [key for key in result if key not in named] if len(named) == len(parameters) else []
    else:
        result = dict(zip(named, inputs, strict=False))
        unknown = [f"number {index + 1}" for index in range(len(result), len(inputs))]
    _check(module, result, unknown, list(named.values()))
    return result


def _check(
    module: nn.Module, inputs: Mapping[str, object], unknown: Sequence[str], parameters: Sequence[inspect.Parameter]
) -> None:
    import torch

    what = f"The example inputs do not fit {type(module).__name__}.forward."
    names = ", ".join(parameter.name for parameter in parameters) or "nothing"
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in inputs]
    wrong = [f"{key} ({type(value).__name__})" for key, value in inputs.items() if not isinstance(value, torch.Tensor)]
    if unknown:
        raise BadInputs(what, why=f"It has no place for {', '.join(unknown)}; it takes {names}.")
    if missing:
        raise BadInputs(what, why=f"Missing: {', '.join(missing)}.", hint=f"forward takes {names}.")
    if wrong:
        raise BadInputs(what, why=f"Not tensors: {', '.join(wrong)}.", hint="Bind other arguments in a wrapper module.")
    if not inputs:
        raise BadInputs(what, why="There are no example inputs.", hint=f"forward takes {names}.")
