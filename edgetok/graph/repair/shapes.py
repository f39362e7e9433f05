"""Operations with sizes or offsets among their arguments: these are what the labels say now."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from edgetok.graph.nodes import argument, operand, positive
from edgetok.graph.rules.segments import slice_bounds

if TYPE_CHECKING:
    from edgetok.graph.arrange import Size
    from edgetok.graph.factors import Axis
    from edgetok.graph.repair.operation import Operation

aten = torch.ops.aten


def reshape(operation: Operation) -> Any:
    """Reshape to the current sizes."""
    return operation.plain() if not operation.versions else _sized(operation, aten.reshape.default)


def expand(operation: Operation) -> Any:
    """Expand to the current sizes."""
    return operation.plain() if not operation.versions else _sized(operation, aten.expand.default)


def _sized(operation: Operation, target: Callable[..., Any]) -> Any:
    source = operand(operation.node)
    sizes = operation.walk.shape(operation.walk.labels.axes(operation.node), operation.versions)
    return operation.result(target(operation.tensor(source, operation.values[source].axes), sizes))


def split(operation: Operation) -> Any:
    """Split into the current sizes of the pieces."""
    if not operation.versions:
        return operation.plain()
    source, labels = operand(operation.node), operation.walk.labels
    dim = positive(argument(operation.node, 2, "dim", 0), len(labels.axes(source)))
    pieces: list[Size] = [
        operation.walk.measure(axes[dim], operation.versions) for axes in labels.outputs(operation.node)
    ]
    return operation.result(aten.split_with_sizes.default(operation.tensor(source), pieces, dim))


def slice_(operation: Operation) -> Any:
    """A window of segments is where those segments are now."""
    node, source = operation.node, operand(operation.node)
    sizes = operation.walk.labels.symbols.sizes(source.meta["val"].shape)
    dim, start, stop, _ = slice_bounds(node, sizes)
    moved = _moves(operation, operation.walk.labels.axes(source)[dim])
    if moved is None:
        return operation.plain()
    return operation.result(aten.slice.Tensor(operation.tensor(source), dim, moved(start), moved(stop)))


def select(operation: Operation) -> Any:
    """A token picked by its index is where its segment is now."""
    node, source = operation.node, operand(operation.node)
    axes = operation.walk.labels.axes(source)
    dim = positive(argument(node, 1, "dim"), len(axes))
    moved = _moves(operation, axes[dim])
    if moved is None:
        return operation.plain()
    index = argument(node, 2, "index") % source.meta["val"].shape[dim]
    return operation.result(aten.select.int(operation.tensor(source), dim, moved(index)))


def _moves(operation: Operation, axis: Axis) -> Callable[[int], int] | None:
    """Where an offset on a token axis is now, for offsets at segment boundaries; ``None``: nothing moved."""
    for index, version in operation.versions.items():
        state = operation.walk.states[index]
        for where in state.space.occurrences((axis,)):
            before = state.versions[0].sizes[where.first : where.last]
            gone = sum(before) - state.tokens(where, version)
            end = sum(before[: state.space.main - where.first + 1])

            def moved(offset: int, end: int = end, gone: int = gone) -> int:
                return offset - gone if offset >= end else offset

            return moved
    return None
