"""Operations that make new axes: factories, padding, resampling, indexing.

Axes that keep their size through an operation aligned with its first operand keep their factors; all others are new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgetok.graph.labels import Axes, rule
from edgetok.graph.nodes import argument, names, operand, tensors

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.labels import Labeller


@rule(
    *names(
        """arange zeros ones full empty new_zeros new_ones new_full new_empty scalar_tensor eye linspace rand randn
        meshgrid nonzero repeat_interleave diff bucketize one_hot unfold_copy im2col col2im"""
    )
)
def fresh(labeller: Labeller, node: fx.Node) -> Axes | list[Axes]:
    """New axes."""
    axes = [labeller.fresh(labeller.labels.symbols.sizes(v.shape), node.name) for v in tensors(node)]
    return axes[0] if isinstance(node.meta["val"], torch.Tensor) else axes


@rule(
    *names(
        """pad constant_pad_nd repeat tile gather scatter scatter_add scatter_reduce index_select index_add
        select_scatter slice_scatter upsample_bilinear2d upsample_bicubic2d upsample_nearest2d upsample_linear1d
        upsample_nearest1d _upsample_bilinear2d_aa _upsample_bicubic2d_aa adaptive_avg_pool1d adaptive_avg_pool2d
        _adaptive_avg_pool2d avg_pool1d avg_pool2d max_pool1d max_pool2d pixel_shuffle pixel_unshuffle unfold"""
    )
)
def same_size(labeller: Labeller, node: fx.Node) -> Axes:
    """An axis of unchanged size is the same axis."""
    source = operand(node)
    shape, before = labeller.shape(node), labeller.shape(source)
    made = labeller.fresh(shape, node.name)
    if len(shape) != len(before):
        return made
    return tuple(a if n == m else f for a, f, n, m in zip(labeller.axes(source), made, shape, before, strict=True))


@rule("index")
def index(labeller: Labeller, node: fx.Node) -> Axes:
    """Advanced indexing: the index tensors' broadcast axes stand where the indexed axes stood."""
    axes = labeller.axes(operand(node))
    given = {i: entry for i, entry in enumerate(argument(node, 1, "indices")) if entry is not None}
    first, last = min(given), max(given)
    shape = labeller.shape(node)
    if len(given) != last - first + 1 or not all(map(labeller.labels.has, given.values())):
        return labeller.fresh(shape, node.name)
    middle = shape[first : len(shape) - (len(axes) - last - 1)]
    pairs = [(labeller.axes(entry), labeller.shape(entry)) for entry in given.values()]
    return (*axes[:first], *labeller.broadcast(middle, *pairs, origin=node.name), *axes[last + 1 :])
