"""Building a model before its weights are read: fake parameters, real buffers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode


@contextmanager
def fake_parameters() -> Iterator[FakeTensorMode]:
    """Within it every parameter that a module registers becomes a fake CPU tensor of the same shape and dtype.

    Buffers stay real: rotary tables and position ids are computed in ``__init__`` and found in no weight file.
    A fake parameter has no memory; ``torch.export`` captures such a module as it is, given real example inputs.
    Parameters do not require gradients.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    register = nn.Module.register_parameter

    def register_fake(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, param)
        if param is not None:
            with mode:
                fake = torch.empty_strided(param.shape, param.stride(), dtype=param.dtype)
            self._parameters[name] = nn.Parameter(fake, requires_grad=False)

    nn.Module.register_parameter = register_fake  # type: ignore[method-assign]
    try:
        yield mode
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def fake_mode(module: nn.Module) -> FakeTensorMode:
    """The mode of a module's fake parameters, which others must have that are captured with them.

    Raises:
        ValueError: it has none.
    """
    found = next((p for p in module.parameters() if isinstance(p, FakeTensor)), None)
    if found is None:
        raise ValueError(f"{type(module).__name__} has no fake parameters")
    return found.fake_mode
