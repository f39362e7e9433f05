"""Attention kept whole: scaled dot products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.graph import factors
from edgetok.graph.labels import Axes, rule

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.labels import Labeller


def mask_of(node: fx.Node) -> fx.Node | None:
    """The ``attn_mask`` operand of a scaled dot product, if any."""
    mask = node.args[3] if len(node.args) > 3 else node.kwargs.get("attn_mask")
    return mask  # type: ignore[return-value]


@rule("scaled_dot_product_attention")
def attention(labeller: Labeller, node: fx.Node) -> Axes:
    """``q (..., n, d), k (..., m, d), v (..., m, e), mask (..., n, m) -> (..., n, e)``."""
    query, key, value = (labeller.axes(a) for a in node.args[:3])  # type: ignore[arg-type]
    q_shape, k_shape, v_shape = (labeller.shape(a) for a in node.args[:3])  # type: ignore[arg-type]
    factors.unify(query[-1], key[-1])
    factors.unify(key[-2], value[-2])
    grouped = bool(node.kwargs.get("enable_gqa"))
    operands = [(query[:-2], q_shape[:-2])]
    if not grouped:
        operands += [(key[:-2], k_shape[:-2]), (value[:-2], v_shape[:-2])]
    lead = labeller.broadcast(q_shape[:-2], *operands, origin=node.name)
    mask = mask_of(node)
    if mask is not None:
        scores = (*q_shape[:-1], k_shape[-2])
        labeller.broadcast(scores, ((*lead, query[-2], key[-2]), scores), (labeller.axes(mask), labeller.shape(mask)))
    return (*lead, query[-2], value[-1])
