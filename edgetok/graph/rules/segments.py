"""Operations that join and part axes: they tell which segments a token axis has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from edgetok.graph import factors
from edgetok.graph.labels import Axes, rule
from edgetok.graph.nodes import argument, operand, operands, positive

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.factors import Axis
    from edgetok.graph.labels import Labeller

T = TypeVar("T")


@rule("cat", "concat")
def cat(labeller: Labeller, node: fx.Node) -> Axes:
    """Pieces become segments of one factor; the other axes are the same axes."""
    shape = labeller.shape(node)
    dim = positive(argument(node, 1, "dim", 0), len(shape))
    pieces = [p for p in operands(node.args[0]) if len(labeller.shape(p)) == len(shape) and labeller.shape(p)[dim] > 0]
    rest = [(_without(labeller.axes(p), dim, ()), _without(labeller.shape(p), dim, 1)) for p in pieces]
    axes = list(labeller.broadcast(_without(shape, dim, 1), *rest, origin=node.name))
    axes[dim] = labeller.join([labeller.axes(p)[dim] for p in pieces], node.name)
    return tuple(axes)


def _without(items: tuple[T, ...], index: int, blank: T) -> tuple[T, ...]:
    return (*items[:index], blank, *items[index + 1 :])


@rule("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk")
def split(labeller: Labeller, node: fx.Node) -> list[Axes]:
    """Consecutive windows of an axis."""
    axes = labeller.axes(operand(node))
    dim = positive(argument(node, 2, "dim", 0), len(axes))
    out, start = [], 0
    for value in node.meta["val"]:
        stop = start + labeller.labels.symbols.size(value.shape[dim])
        out.append(_without(axes, dim, labeller.window(axes[dim], start, stop, node.name)))
        start = stop
    return out


@rule("slice")
def slice_(labeller: Labeller, node: fx.Node) -> Axes:
    """A window of an axis; with a step other than 1, or bounds that are computed, a new axis."""
    source = operand(node)
    axes, shape = labeller.axes(source), labeller.shape(node)
    dim, start, stop, step = slice_bounds(node, labeller.shape(source))
    if step != 1 or stop - start != shape[dim]:
        return _without(axes, dim, labeller.fresh(shape, node.name)[dim])
    return _without(axes, dim, labeller.window(axes[dim], start, stop, node.name))


def slice_bounds(node: fx.Node, sizes: tuple[int, ...]) -> tuple[int, int, int, int]:
    """``(dim, start, stop, step)`` of a slice, counted from the front and clipped."""
    dim = positive(argument(node, 1, "dim", 0), len(sizes))
    n = sizes[dim]
    start, stop = _integer(argument(node, 2, "start"), 0), _integer(argument(node, 3, "end"), sys.maxsize)
    start = max(start + n, 0) if start < 0 else min(start, n)
    stop = max(stop + n, 0) if stop < 0 else min(stop, n)
    return dim, start, max(stop, start), _integer(argument(node, 4, "step"), 1)


def _integer(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


@rule("stack")
def stack(labeller: Labeller, node: fx.Node) -> Axes:
    """A new axis over operands with the same axes; behind channels it is one of channels, such as pairs that turn."""
    shape = labeller.shape(node)
    dim = positive(argument(node, 1, "dim", 0), len(shape))
    pieces = [(labeller.axes(p), labeller.shape(p)) for p in operands(node.args[0])]
    axes: list[Axis] = list(labeller.broadcast((*shape[:dim], *shape[dim + 1 :]), *pieces, origin=node.name))
    beside = dim > 0 and bool(axes[dim - 1]) and all("channel" in f.tags for f in factors.resolve(axes[dim - 1]))
    axes.insert(dim, labeller.fresh((shape[dim],), node.name, [{"channel"} if beside else set()])[0])
    return tuple(axes)
