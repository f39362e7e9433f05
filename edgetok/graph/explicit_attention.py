"""Explicit attention, ``softmax(q k^T * scale + mask) v``, becomes one ``scaled_dot_product_attention``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from edgetok.graph.labels import op_name

aten = torch.ops.aten


@dataclass
class _Scores:
    """How the softmax's input was made: ``a @ b * scale + mask``."""

    product: fx.Node
    scale: float
    mask: fx.Node | None


def fuse_attention(graph: fx.Graph) -> None:
    """Replace every explicit attention of a graph."""
    for node in list(graph.nodes):
        if op_name(node) in ("softmax", "_softmax") and _over_last(node):
            _fuse(graph, node)


def _over_last(node: fx.Node) -> bool:
    return int(node.args[1]) % node.meta["val"].dim() == node.meta["val"].dim() - 1  # type: ignore[call-overload, no-any-return]


def _fuse(graph: fx.Graph, softmax: fx.Node) -> None:
    out = next(iter(softmax.users)) if len(softmax.users) == 1 else None
    if out is None or op_name(out) not in ("matmul", "bmm") or out.args[0] is not softmax:
        return
    scores = _trace(softmax.args[0])
    if scores is None or not isinstance(out.args[1], fx.Node):
        return
    query, transposed = scores.product.args[:2]
    with graph.inserting_before(out):
        key = graph.call_function(aten.transpose.int, (transposed, -2, -1))
        key.meta["val"] = transposed.meta["val"].transpose(-2, -1)  # type: ignore[union-attr]
        kwargs: dict[str, Any] = {"scale": scores.scale}
        if scores.mask is not None:
            kwargs["attn_mask"] = scores.mask
        fused = graph.call_function(aten.scaled_dot_product_attention.default, (query, key, out.args[1]), kwargs)
        fused.meta.update(out.meta)
    out.replace_all_uses_with(fused)
    graph.eliminate_dead_code()


def _trace(value: Any) -> _Scores | None:
    """Walk back from the softmax through scalings and one added mask to the matrix product."""
    scale, mask, node = 1.0, None, value
    while isinstance(node, fx.Node) and len(node.users) == 1:
        name, args = op_name(node), node.args
        if name in ("matmul", "bmm"):
            return _Scores(node, scale, mask) if _floating_rank(node, mask) else None
        if name in ("mul", "div") and isinstance(args[1], (int, float)):
            scale = scale * args[1] if name == "mul" else scale / args[1]
            node = args[0]
        elif name == "add" and mask is None and scale == 1.0 and not node.kwargs.get("alpha"):
            node, mask = _product_first(args)
        else:
            return None
    return None


def _product_first(args: tuple[Any, ...]) -> tuple[Any, Any]:
    return (args[0], args[1]) if _leads_to_product(args[0]) else (args[1], args[0])


def _leads_to_product(node: Any) -> bool:
    while isinstance(node, fx.Node) and op_name(node) in ("mul", "div"):
        node = node.args[0]
    return isinstance(node, fx.Node) and op_name(node) in ("matmul", "bmm")


def _floating_rank(product: fx.Node, mask: fx.Node | None) -> bool:
    return product.meta["val"].dim() in (3, 4) and (mask is None or mask.meta["val"].is_floating_point())
