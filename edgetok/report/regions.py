"""Which part of a model a node belongs to: before its blocks, in them, or after them.

A *block* is what contains an attention. Two rules, in this order:

1. *Lineage.* An attention in module ``vit.layers.11.attention`` belongs to block ``vit.layers.11`` (up to the last
   number in the path). Nodes before the first node of the first attention's block are the embedding; nodes after the
   last node of the last attention's block are the head.
2. *Repetition*, where no lineage was kept. What is computed between two attentions repeats (output projection, MLP,
   then query, key and value projections): the same operations after the last attention end its block, and the
   same operations before the first attention begin the first block.

With one attention and no lineage only convolutions before it are the embedding. With no attention all is block.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from edgetok.report.macs import op_name

if TYPE_CHECKING:
    from torch.fx import Node

    from edgetok.report.shapes import Shapes

Region = Literal["embedding", "blocks", "head"]


def is_attention(node: Node) -> bool:
    """Whether the node is a scaled dot-product attention."""
    return "scaled_dot_product" in op_name(node)


def lineage(node: Node, key: str) -> str:
    """An entry of the node's lineage (``module``, ``plugin``, ``site``), or ``""``."""
    custom = node.meta.get("custom") or {}
    entry = (custom.get("edgetok") or {}).get(key)
    return str(entry) if entry is not None else _module_stack(node) if key == "module" else ""


def _module_stack(node: Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    return "" if str(path).startswith("_") else str(path)


def block_path(path: str) -> str:
    """``"vit.layers.11.attention"`` -> ``"vit.layers.11"``; ``""`` where the path has no number."""
    parts = path.split(".")
    last = max((i for i, part in enumerate(parts) if part.isdigit()), default=-1)
    return ".".join(parts[: last + 1])


def regions(nodes: Sequence[Node], counted: Sequence[Node], shapes: Shapes) -> list[Region]:
    """The region of each counted node.

    Args:
        nodes: all nodes of the graph, in order.
        counted: the nodes that are counted, in order, without what plugins inserted.
        shapes: the graph's sizes.
    """
    attentions = [node for node in counted if is_attention(node)]
    if not attentions:
        return ["blocks"] * len(counted)
    first, last = (block_path(lineage(node, "module")) for node in (attentions[0], attentions[-1]))
    if first and last:
        return _by_lineage(nodes, counted, first, last)
    return _by_repetition(counted, shapes)


def _by_lineage(nodes: Sequence[Node], counted: Sequence[Node], first: str, last: str) -> list[Region]:
    position = {node: index for index, node in enumerate(nodes)}
    begin = min(i for i, node in enumerate(nodes) if _within(node, first))
    end = max(i for i, node in enumerate(nodes) if _within(node, last))
    return [_side(position[node], begin, end) for node in counted]


def _within(node: Node, block: str) -> bool:
    return (lineage(node, "module") + ".").startswith(block + ".")


def _side(index: int, begin: int, end: int) -> Region:
    return "embedding" if index < begin else "blocks" if index <= end else "head"


def _by_repetition(counted: Sequence[Node], shapes: Shapes) -> list[Region]:
    places = [i for i, node in enumerate(counted) if is_attention(node)]
    signs = [_signature(node, shapes) for node in counted]
    if len(places) == 1:
        return ["embedding" if i < places[0] and "conv" in op_name(n) else "blocks" for i, n in enumerate(counted)]
    between = signs[places[-2] + 1 : places[-1]]
    before = _common_prefix(signs[: places[0]][::-1], signs[places[0] + 1 : places[1]][::-1])
    after = _common_prefix(signs[places[-1] + 1 :], between[: len(between) - before])
    return [_side(i, places[0] - before, places[-1] + after) for i in range(len(counted))]


def _signature(node: Node, shapes: Shapes) -> tuple[str, int, int]:
    """Operation, channels in and channels out: the same in every block, whatever its token count."""
    tensors = [argument for argument in node.args if hasattr(argument, "meta")]
    source = tensors[1 if "addmm" in op_name(node) else 0] if tensors else None
    return op_name(node), (shapes.of(source) or (0,))[-1], (shapes.of(node) or (0,))[-1]


def _common_prefix(left: Sequence[object], right: Sequence[object]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))
