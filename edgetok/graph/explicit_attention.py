"""Explicit attention, ``softmax(q k^T * scale + mask) v``, becomes one ``scaled_dot_product_attention``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import torch
from torch import fx

from edgetok.graph.masks import BLOCKED
from edgetok.graph.nodes import argument, op_name, operand, positive

aten = torch.ops.aten


@dataclass
class _Scores:
    """How the softmax's input was made: ``a @ b * scale + masks``, or with ``blocked`` entries filled."""

    product: fx.Node
    scale: float
    masks: tuple[fx.Node, ...]
    blocked: fx.Node | None


def fuse_attention(graph: fx.Graph) -> None:
    """Replace every explicit attention of a graph."""
    for node in list(graph.nodes):
        if op_name(node) in ("softmax", "_softmax") and _over_last(node):
            _fuse(graph, node)


def _over_last(node: fx.Node) -> bool:
    rank: int = node.meta["val"].dim()
    return positive(argument(node, 1, "dim"), rank) == rank - 1


def _fuse(graph: fx.Graph, softmax: fx.Node) -> None:
    out = next(iter(softmax.users)) if len(softmax.users) == 1 else None
    if out is None or op_name(out) not in ("matmul", "bmm") or out.args[0] is not softmax:
        return
    scores = _trace(softmax.args[0])
    if scores is None or not _is_plain(scores.product, softmax, out):
        return
    query, transposed = operand(scores.product, 0), operand(scores.product, 1)
    with graph.inserting_before(out):
        kwargs: dict[str, Any] = {"scale": scores.scale}
        if scores.blocked is not None:
            kwargs["attn_mask"] = _call(graph, aten.logical_not.default, scores.blocked)
        elif scores.masks:
            kwargs["attn_mask"] = reduce(partial(_sum, graph), scores.masks)
        key = _call(graph, aten.transpose.int, transposed, -2, -1)
        args = (query, key, operand(out, 1))
        fused = graph.call_function(aten.scaled_dot_product_attention.default, args, kwargs)
        fused.meta.update(out.meta)
    out.replace_all_uses_with(fused)
    graph.eliminate_dead_code()


def _call(graph: fx.Graph, target: torch._ops.OpOverload[Any, Any], source: fx.Node, *rest: int) -> fx.Node:
    node = graph.call_function(target, (source, *rest))
    node.meta["val"] = target(source.meta["val"], *rest)
    return node


def _sum(graph: fx.Graph, a: fx.Node, b: fx.Node) -> fx.Node:
    node = graph.call_function(aten.add.Tensor, (a, b))
    node.meta["val"] = a.meta["val"] + b.meta["val"]
    return node


def _trace(value: Any) -> _Scores | None:
    """Walk back from the softmax through scalings and masks, added, or one filled in, to the matrix product."""
    scale, masks, blocked, node = 1.0, (), None, value  # type: float, tuple[Any, ...], Any, Any
    while isinstance(node, fx.Node) and len(node.users) == 1:
        name, args = op_name(node), node.args
        if name in ("matmul", "bmm"):
            return _Scores(node, scale, masks, blocked) if _suits(node, masks, blocked) else None
        if name in ("mul", "div") and isinstance(args[1], (int, float)) and args[1] > 0 and not node.kwargs:
            scale = scale * args[1] if name == "mul" else scale / args[1]
            node = args[0]
        elif name == "add" and blocked is None and scale == 1.0 and not node.kwargs.get("alpha"):
            node, mask = _product_first(args)
            masks = (mask, *masks)
        elif name == "masked_fill" and not masks and blocked is None and _blocks(args[2], scale):
            node, blocked = args[:2]
        else:
            return None
    return None


def _blocks(fill: object, scale: float) -> bool:
    return isinstance(fill, (int, float)) and fill * scale <= BLOCKED


def _product_first(args: tuple[Any, ...]) -> tuple[Any, Any]:
    return (args[0], args[1]) if _leads_to_product(args[0]) else (args[1], args[0])


def _leads_to_product(node: Any) -> bool:
    while isinstance(node, fx.Node) and op_name(node) in ("mul", "div"):
        node = node.args[0]
    if isinstance(node, fx.Node) and op_name(node) == "add":
        return any(map(_leads_to_product, node.args))
    return isinstance(node, fx.Node) and op_name(node) in ("matmul", "bmm")


def _suits(product: fx.Node, masks: tuple[Any, ...], blocked: Any) -> bool:
    """Whether the scores are matrices, and their masks are such that the fused operation takes their sum."""
    given = [*masks, blocked] if blocked is not None else masks
    if product.meta["val"].dim() not in (3, 4) or not all(isinstance(n, fx.Node) for n in given):
        return False
    return all(mask.meta["val"].dtype == product.meta["val"].dtype for mask in masks)


def _is_plain(product: fx.Node, softmax: fx.Node, out: fx.Node) -> bool:
    """Whether no operand is broadcast and no precision changes on the way."""
    scores, probabilities = product.meta["val"], softmax.meta["val"]
    inputs = [operand(product, 0), operand(product, 1), operand(out, 1)]
    same_lead = all(_sizes(n)[:-2] == _sizes(product)[:-2] for n in inputs)
    return same_lead and _sizes(softmax) == _sizes(product) and scores.dtype == probabilities.dtype


def _sizes(node: fx.Node) -> list[str]:
    return [str(n) for n in node.meta["val"].shape]
