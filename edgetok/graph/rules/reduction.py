"""Operations that reduce axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgetok.graph.labels import Axes, rule
from edgetok.graph.rules.layout import positive

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.labels import Labeller


def reduced_dims(node: fx.Node, rank: int) -> set[int]:
    """The axes that a reduction reduces; all where none are given."""
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if node.target in (torch.ops.aten.linalg_vector_norm.default,):
        dims = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim")
    if dims is None or dims == []:
        return set(range(rank))
    return {positive(d, rank) for d in (dims if isinstance(dims, (list, tuple)) else [dims])}


@rule(*"mean sum amax amin any all prod logsumexp argmax argmin linalg_vector_norm var std".split())
def reduction(labeller: Labeller, node: fx.Node) -> Axes:
    """Reduced axes go, or stay with size 1."""
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    axes = labeller.axes(source)
    gone = reduced_dims(node, len(axes))
    if len(labeller.shape(node)) == len(axes):
        return tuple(() if i in gone else axis for i, axis in enumerate(axes))
    return tuple(axis for i, axis in enumerate(axes) if i not in gone)


@rule("max", "min", "var_mean", "median")
def reductions(labeller: Labeller, node: fx.Node) -> Axes | list[Axes]:
    """As above with several outputs; elementwise with two operands."""
    if len(node.all_input_nodes) > 1:
        return labeller.elementwise(node)
    if isinstance(node.meta["val"], torch.Tensor):
        return reduction(labeller, node)
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    axes = labeller.axes(source)
    gone = reduced_dims(node, len(axes))
    keep = node.meta["val"][0].dim() == len(axes)
    one = tuple(() if i in gone else a for i, a in enumerate(axes) if keep or i not in gone)
    return [one for _ in node.meta["val"]]
