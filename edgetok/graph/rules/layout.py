"""Operations that move axes about: reshapes, permutations, expansion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.graph import factors
from edgetok.graph.labels import Axes, rule
from edgetok.graph.nodes import argument, operand, positive

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.labels import Labeller


@rule("view", "_unsafe_view", "reshape", "flatten", "unflatten", "_reshape_copy", "view_copy")
def reshape(labeller: Labeller, node: fx.Node) -> Axes:
    """Factors are dealt out to the new axes in order."""
    return tuple(factors.regroup(labeller.axes(operand(node)), labeller.shape(node)))


@rule("transpose", "swapaxes")
def transpose(labeller: Labeller, node: fx.Node) -> Axes:
    """Two axes change places."""
    axes = list(labeller.axes(operand(node)))
    i, j = (positive(a, len(axes)) for a in node.args[1:3])
    axes[i], axes[j] = axes[j], axes[i]
    return tuple(axes)


@rule("t", "numpy_T", "mT")
def matrix_transpose(labeller: Labeller, node: fx.Node) -> Axes:
    """The last two axes change places."""
    axes = labeller.axes(operand(node))
    return (*axes[:-2], *reversed(axes[-2:]))


@rule("permute")
def permute(labeller: Labeller, node: fx.Node) -> Axes:
    """Axes in the order given."""
    axes = labeller.axes(operand(node))
    return tuple(axes[positive(i, len(axes))] for i in argument(node, 1, "dims"))


@rule("unsqueeze")
def unsqueeze(labeller: Labeller, node: fx.Node) -> Axes:
    """A new axis of size 1."""
    axes = list(labeller.axes(operand(node)))
    axes.insert(positive(argument(node, 1, "dim"), len(axes) + 1), ())
    return tuple(axes)


@rule("squeeze")
def squeeze(labeller: Labeller, node: fx.Node) -> Axes:
    """Axes of size 1 go."""
    source = operand(node)
    axes, sizes = labeller.axes(source), labeller.shape(source)
    given = argument(node, 1, "dim", list(range(len(sizes))))
    gone = {positive(i, len(sizes)) for i in (given if isinstance(given, (list, tuple)) else [given])}
    return tuple(axis for i, axis in enumerate(axes) if not (i in gone and sizes[i] == 1))


@rule("expand", "expand_as", "broadcast_to")
def expand(labeller: Labeller, node: fx.Node) -> Axes:
    """Axes of size 1 become new factors."""
    source = operand(node)
    return labeller.broadcast(labeller.shape(node), (labeller.axes(source), labeller.shape(source)), origin=node.name)


@rule("select")
def select(labeller: Labeller, node: fx.Node) -> Axes:
    """One entry of an axis; it becomes a segment of its own, so that nothing is merged into it."""
    axes = labeller.axes(operand(node))
    dim, index = positive(argument(node, 1, "dim"), len(axes)), argument(node, 2, "index")
    axis = axes[dim]
    if len(axis) == 1 and isinstance(index, int) and not labeller.labels.symbols.is_symbolic(axis[0].size):
        at = index % axis[0].size
        labeller.window(axis, at, at + 1, node.name)
    return tuple(axis for i, axis in enumerate(axes) if i != dim)


@rule("unbind")
def unbind(labeller: Labeller, node: fx.Node) -> list[Axes]:
    """Every entry of an axis."""
    axes = labeller.axes(operand(node))
    dim = positive(argument(node, 1, "dim", 0), len(axes))
    return [tuple(axis for i, axis in enumerate(axes) if i != dim) for _ in node.meta["val"]]
