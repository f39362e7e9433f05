"""Reading fx nodes: names, operands and arguments of ATen operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import fx


def names(text: str) -> frozenset[str]:
    """Operation names from a text."""
    return frozenset(text.split())


def op_name(node: fx.Node) -> str:
    """``"linear"`` for ``aten.linear.default``, ``"edgetok::reduce"`` for ops of other namespaces."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        namespace, name = target._schema.name.split("::")
        return str(name) if namespace == "aten" else f"{namespace}::{name}"
    return getattr(target, "__name__", str(target))


def operand(node: fx.Node, index: int = 0) -> fx.Node:
    """The positional argument ``index``, which is a tensor."""
    return operands(node.args[index : index + 1])[0]


def operands(args: Any) -> list[fx.Node]:
    """Arguments that are all tensors, e.g. the list that ``cat`` takes."""
    assert isinstance(args, Iterable), f"{args} is no list of tensors"
    nodes = []
    for node in args:
        assert isinstance(node, fx.Node), f"{node} is no tensor"
        nodes.append(node)
    return nodes


def argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:
    """An argument given by position or by name."""
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


def positive(axis: Any, rank: int) -> int:
    """An axis argument counted from the front; a scalar counts as having one axis."""
    return int(axis) % max(rank, 1)


def tensors(node: fx.Node) -> list[torch.Tensor]:
    """The fake value(s) of a node that are tensors."""
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor):
        return [value]
    return [v for v in value if isinstance(v, torch.Tensor)] if isinstance(value, (list, tuple)) else []


def ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes themselves and all that they are computed from."""
    seen = set(nodes)
    stack = list(seen)
    while stack:
        for parent in stack.pop().all_input_nodes:
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return seen


def mask_of(node: fx.Node) -> fx.Node | None:
    """The ``attn_mask`` operand of a scaled dot product, if any."""
    mask: fx.Node | None = argument(node, 3, "attn_mask")
    return mask
