"""Attention kept whole: scaled dot products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.graph import factors
from edgetok.graph.labels import Axes, rule
from edgetok.graph.nodes import mask_of, operands

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.labels import Labeller


@rule("scaled_dot_product_attention")
def attention(labeller: Labeller, node: fx.Node) -> Axes:
    """``q (..., n, d), k (..., m, d), v (..., m, e), mask (..., n, m) -> (..., n, e)``."""
    nodes = operands(node.args[:3])
    query, key, value = (labeller.axes(n) for n in nodes)
    q_shape, k_shape, v_shape = (labeller.shape(n) for n in nodes)
    factors.unify(query[-1], key[-1])
    factors.unify(key[-2], value[-2])
    lead_operands = [(query[:-2], q_shape[:-2])]
    if not node.kwargs.get("enable_gqa"):
        lead_operands += [(key[:-2], k_shape[:-2]), (value[:-2], v_shape[:-2])]
    lead = labeller.broadcast(labeller.shape(node)[:-2], *lead_operands, origin=node.name)
    mask = mask_of(node)
    if mask is not None:
        scores = (*labeller.shape(node)[:-1], k_shape[-2])
        labeller.broadcast(scores, ((*lead, query[-2], key[-2]), scores), (labeller.axes(mask), labeller.shape(mask)))
    return (*lead, query[-2], value[-1])
