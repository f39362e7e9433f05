"""Operations in forms that stay accurate in an NPU's 16 bits, where a few values are very much larger than the rest.

Transformers keep some tokens with entries hundreds of times larger than all others (Sun et al., Massive Activations in
Large Language Models, https://arxiv.org/abs/2402.17762). One scale for a tensor then leaves ordinary tokens few steps
once values are squared, as in a variance. And functions are tables of 512 intervals over the range of their input, with
straight lines in between: in wide intervals what is curved near zero is lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

if TYPE_CHECKING:
    from torch._ops import OpOverload

aten = torch.ops.aten
CURVED = 6.0
"""Beyond it GELU is 0 or its input, but for 6e-9."""
WIDE = 16.0
"""Inputs of a GELU up to here: intervals of 1/16, and an error of 4e-4 between them."""


def layer_norm(
    x: Tensor,
    shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """Layer norm over the last axis with every token scaled to a size below 1 before it is squared.

    With ``c = x - mean(x)``, ``s = 1 / (max|c| + 2 mean|c|)`` and ``u = s c``, it is ``u / sqrt(mean(u^2) + s^2 eps)``:
    the same for every ``s > 0``, so an ``s`` read from a coarse table does no harm. The mean beside the maximum keeps
    ``|u|`` below 1 for a table's ``s`` too, which is too large between two entries. Over several axes as torch does it.
    """
    if len(shape) > 1:
        return NotImplemented  # type: ignore[no-any-return]
    centred = x - x.mean(-1, keepdim=True)
    size = centred.abs()
    span = size.amax(-1, keepdim=True) + size.sum(-1, keepdim=True) * (2.0 / shape[0])
    share = span.clamp(min=math.sqrt(eps)).reciprocal()
    unit = centred * share
    normal = unit * ((unit * unit).mean(-1, keepdim=True) + share * share * eps).rsqrt()
    scaled = normal if weight is None else normal * weight
    return scaled if bias is None else scaled + bias


def softmax(x: Tensor, dim: int, dtype: torch.dtype | bool | None = None) -> Tensor:
    """Softmax whose sum is inverted in two steps; in another dtype as torch does it.

    The sum of ``n`` exponentials is between 1 and ``n``, and its reciprocal most curved near 1, where attention is
    peaked: a table over the whole range is wrong by several per cent there. So ``rough = 1 / (sum + 1)`` is read from
    it, which may be as wrong as that, and ``sum * rough`` is between 1/2 and 1, where a table is right to 0.2 %. With
    the 1 added, what the first table makes too large stays in that range.
    """
    if dtype not in (None, False, x.dtype):
        return NotImplemented  # type: ignore[no-any-return]
    grown = (x - x.amax(dim, keepdim=True)).exp()
    total = grown.sum(dim, keepdim=True)
    rough = (total + 1.0).reciprocal()
    return grown * (rough * (total * rough).reciprocal())


def narrow_gelus(module: fx.GraphModule, batches: Iterable[Mapping[str, Tensor]]) -> None:
    """Where inputs of a GELU reach beyond ``WIDE``, let its table see what is curved and add the rest; in place.

    ``gelu(x) = gelu(clamp(x, -6, 6)) + (x - min(x, 6))``. The product with 1 gives the clamped values a scale of their
    own: clamps share their input's.

    Args:
        module: with fake values; run on every batch.
        batches: its inputs by name, in its order.
    """
    ranges = _Ranges(module)
    with torch.no_grad():
        for inputs in batches:
            ranges.run(*inputs.values())
    for node, largest in ranges.largest.items():
        if largest > WIDE:
            _narrow(module.graph, node)
    module.recompile()


class _Ranges(fx.Interpreter):
    """The largest input of every GELU, by node."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.largest: dict[fx.Node, float] = {}

    def run_node(self, n: fx.Node) -> Any:
        if n.target == aten.gelu.default:
            source = n.args[0]
            assert isinstance(source, fx.Node)
            self.largest[n] = max(self.largest.get(n, 0.0), float(self.env[source].abs().max()))
        return super().run_node(n)


def _narrow(graph: fx.Graph, gelu: fx.Node) -> None:
    x = gelu.args[0]
    with graph.inserting_before(gelu):
        curved = _like(gelu, aten.clamp.default, x, -CURVED, CURVED)
        rescaled = _like(gelu, aten.mul.Tensor, curved, 1.0)
        below = _like(gelu, aten.clamp.default, x, None, CURVED)
        rest = _like(gelu, aten.sub.Tensor, x, below)
        inner = _like(gelu, aten.gelu.default, rescaled, **gelu.kwargs)
        whole = _like(gelu, aten.add.Tensor, inner, rest)
    gelu.replace_all_uses_with(whole)
    graph.erase_node(gelu)


def _like(model: fx.Node, op: OpOverload, *args: Any, **kwargs: Any) -> fx.Node:
    """A node of the same lineage, with its fake value."""
    node = model.graph.call_function(op, args, kwargs)
    node.meta = {**model.meta, "val": op(*fx.map_arg(args, lambda given: given.meta["val"]), **kwargs)}
    return node
