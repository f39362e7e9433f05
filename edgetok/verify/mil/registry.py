"""Operations by type: one small function each, from operands to the value it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from edgetok.errors import RuntimeFailed

Result = Tensor | tuple[Tensor, ...]
Evaluate = Callable[["Operands"], Result]
_OPS: dict[str, Evaluate] = {}
_FILES = (
    "activation",
    "compressed",
    "elementwise",
    "indexing",
    "linear",
    "normalisation",
    "pooling",
    "reduction",
    "resizing",
    "shape",
    "states",
)


class Operands:
    """The inputs of one operation by parameter name, read as what the operation needs.

    Args:
        kind: the operation's type, for messages.
        values: tensors and text; several values of a list parameter are a tuple.
    """

    def __init__(self, kind: str, values: Mapping[str, Any]) -> None:
        self.kind = kind
        self.values = values

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __getitem__(self, name: str) -> Tensor:
        value = self.values.get(name)
        if not isinstance(value, Tensor):
            raise RuntimeFailed(f"Operation {self.kind} of the ML program lacks its tensor {name!r}.", why=f"{value!r}")
        return value

    def tensors(self, name: str) -> tuple[Tensor, ...]:
        """A list parameter."""
        value = self.values[name]
        return value if isinstance(value, tuple) else (value,)

    def maybe(self, name: str) -> Tensor | None:
        """An optional tensor."""
        return self[name] if name in self.values else None

    def numbers(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """A vector of integers; a scalar counts as one."""
        if name not in self.values and default is not None:
            return list(default)
        return [int(n) for n in self[name].reshape(-1).tolist()]

    def flags(self, name: str, length: int) -> list[bool]:
        """A vector of flags, all false by default."""
        return [bool(n) for n in self[name].reshape(-1).tolist()] if name in self.values else [False] * length

    def integer(self, name: str, default: int | None = None) -> int:
        """One integer."""
        return self.numbers(name, None if default is None else (default,))[0]

    def flag(self, name: str, default: bool = False) -> bool:
        """One flag."""
        return bool(self[name].item()) if name in self.values else default

    def number(self, name: str, default: float | None = None) -> float:
        """One floating number."""
        return default if default is not None and name not in self.values else float(self[name].item())

    def text(self, name: str, default: str | None = None) -> str:
        """A word."""
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise RuntimeFailed(f"Operation {self.kind} of the ML program lacks its word {name!r}.", why=f"{value!r}")
        return value


def op(*kinds: str) -> Callable[[Evaluate], Evaluate]:
    """Register the evaluation of one or more operation types."""

    def register(evaluate: Evaluate) -> Evaluate:
        for kind in kinds:
            assert kind not in _OPS, f"{kind} is registered twice"
            _OPS[kind] = evaluate
        return evaluate

    return register


def unary(function: Callable[[Tensor], Tensor]) -> Evaluate:
    """An operation of ``x`` alone."""
    return lambda operands: function(operands["x"])


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Evaluate:
    """An operation of ``x`` and ``y``, broadcast."""
    return lambda operands: function(operands["x"], operands["y"])


def known_ops() -> Mapping[str, Evaluate]:
    """Every operation that can be evaluated."""
    from importlib import import_module

    for name in _FILES:
        import_module(f"edgetok.verify.mil.{name}")
    return _OPS


def evaluation(kind: str) -> Evaluate:
    """How to evaluate an operation type.

    Raises:
        RuntimeFailed: the interpreter does not have it.
    """
    found = known_ops().get(kind)
    if found is None:
        raise RuntimeFailed(
            f"The MIL interpreter does not know the operation {kind!r}.",
            why="the ML program uses it",
            hint="Run the package on macOS, or report this operation.",
        )
    return found


def apply(kind: str, operands: Operands) -> Result:
    """Evaluate one operation without gradients."""
    with torch.no_grad():
        return evaluation(kind)(operands)
