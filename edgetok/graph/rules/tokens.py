"""The ``edgetok::`` operations: new token axes where a map has been applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.graph.labels import Axes, rule
from edgetok.graph.nodes import operand

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.labels import Labeller


@rule("edgetok::bipartite_match", "edgetok::match_among")
def bipartite_match(labeller: Labeller, node: fx.Node) -> list[Axes]:
    """``metric (b, n, d) -> keep (b, m), src (b, r), dst (b, r)``."""
    batch = labeller.axes(operand(node, 0))[0]
    keep, src, _ = node.meta["val"]
    sizes = labeller.labels.symbols.sizes
    (merged,) = labeller.fresh(sizes(src.shape)[1:], f"{node.name}.merged")
    (kept,) = labeller.fresh(sizes(keep.shape)[1:], f"{node.name}.kept")
    return [(batch, kept), (batch, merged), (batch, merged)]


@rule("edgetok::select_top", "edgetok::rank_top")
def select_top(labeller: Labeller, node: fx.Node) -> Axes:
    """``scores (b, n) -> keep (b, k)``."""
    return (labeller.axes(operand(node, 0))[0], labeller.fresh(labeller.shape(node)[1:], node.name)[0])


@rule("edgetok::reduce")
def reduce(labeller: Labeller, node: fx.Node) -> Axes:
    """``x (b, n, c), sizes, keep (b, m), ... -> (b, m, c)``."""
    x, keep = labeller.axes(operand(node, 0)), labeller.axes(operand(node, 2))
    return (x[0], keep[1], x[2])


@rule("edgetok::destinations")
def destinations(labeller: Labeller, node: fx.Node) -> Axes:
    """``keep (b, m), ... -> dest (b, n)``."""
    return (labeller.axes(operand(node, 0))[0], labeller.fresh(labeller.shape(node)[1:], node.name)[0])


@rule("edgetok::restore")
def restore(labeller: Labeller, node: fx.Node) -> Axes:
    """``y (b, m, c), dest (b, n) -> (b, n, c)``."""
    y, dest = labeller.axes(operand(node, 0)), labeller.axes(operand(node, 1))
    return (y[0], dest[1], y[2])


@rule("edgetok::compose")
def compose(labeller: Labeller, node: fx.Node) -> Axes:
    """``first (b, n0), second (b, n1) -> (b, n0)``."""
    return labeller.axes(operand(node, 0))
