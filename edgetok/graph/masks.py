"""Attention masks, understood by evaluating them: their sub-graphs are small and need no weights to speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from edgetok.graph.dependence import NotEvaluableError, evaluate

Kind = Literal["none", "padding", "causal", "local", "bias", "pattern", "unknown"]

BLOCKED = -5e3
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


def understand(
    mask: fx.Node | None, rank: int, data: frozenset[str], constants: Mapping[str, Any], users: Mapping[str, Tensor]
) -> Mask:
    """Classify the mask operand of an attention.

    Args:
        mask: the operand, or ``None``.
        rank: the number of axes of the attention scores.
        data: user inputs it depends on.
        constants: values of parameters, buffers and constants, by placeholder name. Fake parameters are biases not
            read yet: they count as zero.
        users: a real example tensor for every user input (only its shape and dtype matter).
    """
    if mask is None:
        return Mask("none")
    learned = {name for name, value in constants.items() if _is_unread(value)} & _placeholders_of(mask)
    known = {**constants, **{name: torch.zeros(constants[name].shape) for name in learned}, **users}
    try:
        found = _from_input(mask, rank, data, known) if data else _fixed(evaluate(mask, known))
    except (NotEvaluableError, RuntimeError, TypeError, IndexError):
        return Mask("unknown")
    if not learned:
        return found
    return replace(found, kind="bias" if found.kind == "none" else found.kind, additive=True)


def _is_unread(value: object) -> bool:
    return isinstance(value, nn.Parameter) and isinstance(value, torch._subclasses.FakeTensor)


def _placeholders_of(node: fx.Node) -> set[str]:
    seen, stack = {node}, [node]
    while stack:
        new = [a for a in stack.pop().all_input_nodes if a not in seen]
        seen.update(new)
        stack += new
    return {n.name for n in seen if n.op == "placeholder"}


def allowed(value: Tensor) -> Tensor:
    """Which scores a mask leaves in play, as bool."""
    return value if value.dtype == torch.bool else value > BLOCKED


def _adds(value: Tensor) -> bool:
    return value.dtype != torch.bool and bool((value[value > BLOCKED] != 0).any())


def _fixed(value: Tensor) -> Mask:
    open_ = allowed(value)
    additive = _adds(value)
    if bool(open_.all()):
        return Mask("bias", additive=True) if additive else Mask("none")
    if value.dim() < 2 or value.shape[-2] != value.shape[-1]:
        return Mask("pattern", additive=additive)
    pattern = open_.reshape(-1, *value.shape[-2:])
    if not bool((pattern == pattern[:1]).all()):
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


def _from_input(mask: fx.Node, rank: int, data: frozenset[str], known: Mapping[str, Any]) -> Mask:
    """A mask made from one user input ``(batch, keys)``: padding, where non-zero entries and no others open."""
    source = next(iter(data))
    if len(data) != 1 or known[source].dim() != 2:
        return Mask("unknown")
    everything = evaluate(mask, {**known, source: torch.ones_like(known[source])})
    base = _fixed(everything)
    if base.kind not in ("none", "bias"):
        return Mask(base.kind if base.kind in ("causal", "local") else "unknown", source, base.additive)
    for marks in _samples(known[source]):
        got = allowed(evaluate(mask, {**known, source: marks}))
        want = marks.bool().reshape(marks.shape[0], *[1] * (rank - 2), marks.shape[1])
        if got.dim() != rank or got.shape[0] != marks.shape[0] or not bool((got == want).all()):
            return Mask("unknown", source)
    return Mask("padding", source, base.additive)


def _samples(example: Tensor) -> list[Tensor]:
    """Different markings of real tokens, where integers allow also by other numbers than 1."""
    generator = torch.Generator().manual_seed(0)
    highest = [2, 2, 2 if example.dtype == torch.bool else 3]
    return [torch.randint(0, n, example.shape, generator=generator).to(example.dtype) for n in highest]
