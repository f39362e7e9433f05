"""One row of the support table: a model of transformers by the names of its classes, or a class of our own."""

from __future__ import annotations

import pydoc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from edgetok.testing.zoo import component

if TYPE_CHECKING:
    from torch import nn

    from edgetok.model import Component

Kind = Literal[
    "classification", "embedding", "dense prediction", "detection", "3-D geometry", "audio", "text", "video",
    "time series",
]  # fmt: skip
Inputs = Callable[[], dict[str, Tensor]]


@dataclass(frozen=True)
class Config:
    """A config inside another: its class's name and options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """A small model of one architecture, and whether token reduction must work on it.

    Attributes:
        name: as its authors call it.
        kind: what it is for.
        model, config: the names of its classes in transformers; without a config the path of a class of our own.
        options: of the config; values may be ``Config``.
        inputs: makes the example inputs, batch 2.
        refused: part of the reason why it is refused; empty where it must be rewritten.
        part: the module to take, where it is not all of the model.
    """

    name: str
    kind: Kind
    model: str
    config: str
    options: Mapping[str, Any]
    inputs: Inputs
    refused: str = ""
    part: Callable[[nn.Module], nn.Module] | None = None

    def component(self) -> Component:
        """The model with seeded weights, in eval mode; transformers chooses its attention, as it does for people."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = self._built()
        return component(self.model, module if self.part is None else self.part(module), self.inputs())

    def _built(self) -> nn.Module:
        if not self.config:
            return pydoc.locate(self.model)(**self.options)  # type: ignore[operator,no-any-return]
        import transformers

        config = _made(Config(self.config, self.options), transformers)
        return getattr(transformers, self.model)(config)  # type: ignore[no-any-return]


def _made(config: Config, transformers: Any) -> Any:
    options = {key: _made(v, transformers) if isinstance(v, Config) else v for key, v in config.options.items()}
    return getattr(transformers, config.name)(**options)


def drawn(*shape: int) -> Tensor:
    """Normal noise, the same every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))
