"""Operations that reduce or sort along axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgetok.graph.labels import Axes, rule
from edgetok.graph.nodes import argument, names, op_name, operand, positive

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.labels import Labeller


REDUCTIONS = names("mean sum amax amin any all prod logsumexp argmax argmin linalg_vector_norm var std")
SEVERAL = names("max min var_mean median")
"""Reductions with several outputs; of two operands, ``max`` and ``min`` are elementwise."""


def reduced_dims(node: fx.Node, rank: int) -> set[int]:
    """The axes that a reduction reduces; all where none are given."""
    dims = argument(node, 2 if op_name(node) == "linalg_vector_norm" else 1, "dim")
    if dims is None or dims == []:
        return set(range(rank))
    return {positive(d, rank) for d in (dims if isinstance(dims, (list, tuple)) else [dims])}


def sorted_dim(node: fx.Node, rank: int) -> int:
    """The axis that ``sort``, ``argsort`` or ``topk`` works along; the last where none is given."""
    if node.target == torch.ops.aten.sort.stable:
        return positive(node.kwargs.get("dim", -1), rank)
    return positive(argument(node, 2 if op_name(node) == "topk" else 1, "dim", -1), rank)


@rule(*REDUCTIONS)
def reduction(labeller: Labeller, node: fx.Node) -> Axes:
    """Reduced axes go, or stay with size 1."""
    return _reduced(labeller, node, node.meta["val"])


def is_of_two(node: fx.Node) -> bool:
    """Whether a ``max`` or ``min`` compares two operands."""
    return len(node.args) > 1 and not isinstance(node.args[1], (int, list, tuple, type(None)))


@rule(*SEVERAL)
def reductions(labeller: Labeller, node: fx.Node) -> Axes | list[Axes]:
    """As above with several outputs; elementwise with two operands."""
    if is_of_two(node):
        return labeller.elementwise(node)
    values = node.meta["val"]
    if isinstance(values, torch.Tensor):
        return _reduced(labeller, node, values)
    return [_reduced(labeller, node, value) for value in values]


def _reduced(labeller: Labeller, node: fx.Node, value: torch.Tensor) -> Axes:
    axes = labeller.axes(operand(node))
    gone = reduced_dims(node, len(axes))
    if value.dim() == len(axes):
        return tuple(() if i in gone else axis for i, axis in enumerate(axes))
    return tuple(axis for i, axis in enumerate(axes) if i not in gone)


@rule("topk", "sort", "argsort")
def sorting(labeller: Labeller, node: fx.Node) -> Axes | list[Axes]:
    """The sorted axis is new: its entries have changed places. The others stay."""
    axes = labeller.axes(operand(node))
    values = node.meta["val"]
    first = values if isinstance(values, torch.Tensor) else values[0]
    dim = sorted_dim(node, len(axes))
    shape = labeller.labels.symbols.sizes(first.shape)
    fresh = labeller.fresh(shape, node.name)
    out = tuple(fresh[i] if i == dim else axis for i, axis in enumerate(axes))
    return out if isinstance(values, torch.Tensor) else [out for _ in values]
