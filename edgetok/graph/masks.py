"""Attention masks, understood by evaluating them: their sub-graphs are small and need no weights to speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from edgetok.graph.dependence import NotEvaluable, evaluate

Kind = Literal["none", "padding", "causal", "local", "bias", "pattern", "unknown"]

_BLOCKED = -5e3
"""Additive masks block with -1e4, -1e9, finfo.min or -inf; learned biases stay far above."""


@dataclass(frozen=True)
class Mask:
    """What an attention mask does.

    Attributes:
        kind: ``none`` blocks nothing; ``padding`` blocks keys of padding tokens; ``causal`` and ``local`` are fixed
            patterns; ``bias`` only adds; ``pattern`` is any other fixed one; ``unknown`` was not understood.
        source: the user input that marks real tokens with non-zero entries, for ``padding``.
        additive: whether values other than "blocked" are added to the scores as well.
    """

    kind: Kind
    source: str = ""
    additive: bool = False


def understand(mask: fx.Node | None, data: frozenset[str], constants: Mapping[str, Any], users: Mapping[str, Tensor]) -> Mask:
    """Classify the mask operand of an attention.

    Args:
        mask: the operand, or ``None``.
        data: user inputs it depends on.
        constants: real values of parameters, buffers and constants, by placeholder name.
        users: a real example tensor for every user input (only its shape and dtype matter).
    """
    if mask is None:
        return Mask("none")
    try:
        if not data:
            return _fixed(evaluate(mask, {**constants, **users}))
        return _from_input(mask, data, constants, users)
    except (NotEvaluable, RuntimeError, TypeError, IndexError):
        return Mask("bias", additive=True) if not data else Mask("unknown")


def allowed(value: Tensor) -> Tensor:
    """Which scores a mask leaves in play, as bool."""
    return value if value.dtype == torch.bool else value > _BLOCKED


def _adds(value: Tensor) -> bool:
    return value.dtype != torch.bool and bool((value[value > _BLOCKED] != 0).any())


def _fixed(value: Tensor) -> Mask:
    open_ = allowed(value)
    additive = _adds(value)
    if bool(open_.all()):
        return Mask("bias", additive=True) if additive else Mask("none")
    rows, columns = value.shape[-2:]
    pattern = open_.reshape(-1, rows, columns)
    if not bool((pattern == pattern[:1]).all()) or rows != columns:
        return Mask("pattern", additive=additive)
    return Mask(_shape_of(pattern[0]), additive=additive)


def _shape_of(pattern: Tensor) -> Kind:
    n = pattern.shape[0]
    ones = torch.ones(n, n, dtype=torch.bool)
    if bool((pattern & ones.triu(1)).sum() == 0) or bool((pattern & ones.tril(-1)).sum() == 0):
        return "causal"
    distance = (torch.arange(n)[:, None] - torch.arange(n)[None]).abs()
    reach = int(distance[pattern].max())
    return "local" if bool((pattern == (distance <= reach)).all()) else "pattern"


def _from_input(mask: fx.Node, data: frozenset[str], constants: Mapping[str, Any], users: Mapping[str, Tensor]) -> Mask:
    if len(data) != 1:
        return Mask("unknown")
    (source,) = data
    example = users[source]
    if example.dim() != 2:
        return Mask("unknown")
    everything = evaluate(mask, {**constants, **users, source: torch.ones_like(example)})
    base = _fixed(everything)
    if base.kind not in ("none", "bias"):
        return Mask(base.kind if base.kind in ("causal", "local") else "unknown", source, base.additive)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        real = torch.randint(0, 2, example.shape, generator=generator)
        got = allowed(evaluate(mask, {**constants, **users, source: real.to(example.dtype)}))
        keys = real.bool()
        want = keys.reshape(keys.shape[0], *[1] * (got.dim() - 2), keys.shape[1])
        if got.shape[0] not in (1, keys.shape[0]) or not bool((got == want.expand(torch.broadcast_shapes(got.shape, want.shape))).all()):
            return Mask("unknown", source)
    return Mask("padding", source, base.additive)
