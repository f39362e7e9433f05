"""Operations that join and part axes: they tell which segments a token axis has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from edgetok.graph.labels import Axes, rule
from edgetok.graph.rules.layout import arg, positive

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.factors import Axis
    from edgetok.graph.labels import Labeller


T = TypeVar("T")


@rule("cat", "concat")
def cat(labeller: Labeller, node: fx.Node) -> Axes:
    """Pieces become segments of one factor; the other axes are the same axes."""
    shape = labeller.shape(node)
    dim = positive(arg(node, 1, "dim", 0), len(shape))
    pieces: list[fx.Node] = [p for p in node.args[0] if labeller.shape(p)[dim] > 0]  # type: ignore[union-attr, arg-type, assignment]
    rest = [
        (_without(labeller.axes(p), dim, ()), _without(labeller.shape(p), dim, 1)) for p in pieces
    ]
    axes = list(labeller.broadcast(_without(shape, dim, 1), *rest, origin=node.name))
    axes[dim] = labeller.join([labeller.axes(p)[dim] for p in pieces], node.name)
    return tuple(axes)


def _without(items: tuple[T, ...], index: int, blank: T) -> tuple[T, ...]:
    return (*items[:index], blank, *items[index + 1 :])


@rule("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk")
def split(labeller: Labeller, node: fx.Node) -> list[Axes]:
    """Consecutive windows of an axis."""
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    axes = labeller.axes(source)
    dim = positive(arg(node, 2, "dim", 0), len(axes))
    out, start = [], 0
    for value in node.meta["val"]:
        stop = start + labeller.labels.symbols.size(value.shape[dim])
        out.append(_without(axes, dim, labeller.window(axes[dim], start, stop, node.name)))
        start = stop
    return out


@rule("slice", "narrow")
def slice_(labeller: Labeller, node: fx.Node) -> Axes:
    """A window of an axis; with a step other than 1, a new axis."""
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    axes, sizes, shape = labeller.axes(source), labeller.shape(source), labeller.shape(node)
    dim, start, stop, step = slice_bounds(node, sizes)
    if step != 1:
        return _without(axes, dim, labeller.fresh(shape, node.name)[dim])
    return _without(axes, dim, labeller.window(axes[dim], start, stop, node.name))


def slice_bounds(node: fx.Node, sizes: tuple[int, ...]) -> tuple[int, int, int, int]:
    """``(dim, start, stop, step)`` of a slice or narrow, counted from the front and clipped."""
    dim = positive(arg(node, 1, "dim", 0), len(sizes))
    n = sizes[dim]
    start, stop = _integer(arg(node, 2, "start", 0), 0), _integer(arg(node, 3, "end", sys.maxsize), n)
    start = max(start + n, 0) if start < 0 else min(start, n)
    stop = stop + n if stop < 0 else min(stop, n)
    return dim, start, max(stop, start), _integer(arg(node, 4, "step", 1), 1)


def _integer(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


@rule("stack")
def stack(labeller: Labeller, node: fx.Node) -> Axes:
    """A new axis over operands with the same axes."""
    shape = labeller.shape(node)
    dim = positive(arg(node, 1, "dim", 0), len(shape))
    rest = (*shape[:dim], *shape[dim + 1 :])
    operands = [(labeller.axes(p), labeller.shape(p)) for p in node.args[0]]  # type: ignore[union-attr, arg-type]
    axes: list[Axis] = list(labeller.broadcast(rest, *operands, origin=node.name))
    axes.insert(dim, labeller.fresh((shape[dim],), node.name)[0])
    return tuple(axes)
