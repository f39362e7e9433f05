"""One row of the support table: a model of transformers by the names of its classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from edgetok.testing.zoo import component

if TYPE_CHECKING:
    from torch import nn

    from edgetok.model import Component

Kind = Literal["classification", "embedding", "dense prediction", "detection", "audio", "text", "video", "time series"]
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
        model, config: the names of its classes in transformers.
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
        import transformers

        config = _made(Config(self.config, self.options), transformers)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = getattr(transformers, self.model)(config)
        return component(self.model, module if self.part is None else self.part(module), self.inputs())


def _made(config: Config, transformers: Any) -> Any:
    options = {key: _made(v, transformers) if isinstance(v, Config) else v for key, v in config.options.items()}
    return getattr(transformers, config.name)(**options)


def drawn(*shape: int) -> Tensor:
    """Normal noise, the same every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))
