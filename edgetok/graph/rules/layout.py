"""Operations that move axes about: reshapes, permutations, expansion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.graph import factors
from edgetok.graph.labels import Axes, rule

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.labels import Labeller


def positive(axis: object, rank: int) -> int:
    """An axis argument counted from the front."""
    return int(axis) % rank  # type: ignore[call-overload, no-any-return]


def arg(node: fx.Node, index: int, name: str, default: object = None) -> object:
    """An argument given by position or by name."""
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


@rule("view", "_unsafe_view", "reshape", "flatten", "unflatten", "_reshape_copy", "view_copy")
def reshape(labeller: Labeller, node: fx.Node) -> Axes:
    """Factors are dealt out to the new axes in order."""
    return tuple(factors.regroup(labeller.axes(node.args[0]), labeller.shape(node)))  # type: ignore[arg-type]


@rule("transpose", "swapaxes")
def transpose(labeller: Labeller, node: fx.Node) -> Axes:
    """Two axes change places."""
    axes = list(labeller.axes(node.args[0]))  # type: ignore[arg-type]
    i, j = (positive(a, len(axes)) for a in node.args[1:3])
    axes[i], axes[j] = axes[j], axes[i]
    return tuple(axes)


@rule("t", "numpy_T", "mT")
def matrix_transpose(labeller: Labeller, node: fx.Node) -> Axes:
    """The last two axes change places."""
    axes = labeller.axes(node.args[0])  # type: ignore[arg-type]
    return (*axes[:-2], *reversed(axes[-2:]))


@rule("permute")
def permute(labeller: Labeller, node: fx.Node) -> Axes:
    """Axes in the order given."""
    axes = labeller.axes(node.args[0])  # type: ignore[arg-type]
    return tuple(axes[positive(i, len(axes))] for i in node.args[1])  # type: ignore[union-attr]


@rule("unsqueeze")
def unsqueeze(labeller: Labeller, node: fx.Node) -> Axes:
    """A new axis of size 1."""
    axes = list(labeller.axes(node.args[0]))  # type: ignore[arg-type]
    axes.insert(positive(node.args[1], len(axes) + 1), ())
    return tuple(axes)


@rule("squeeze")
def squeeze(labeller: Labeller, node: fx.Node) -> Axes:
    """Axes of size 1 go."""
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    axes, sizes = labeller.axes(source), labeller.shape(source)
    given = node.args[1] if len(node.args) > 1 else list(range(len(sizes)))
    gone = {positive(i, len(sizes)) for i in (given if isinstance(given, (list, tuple)) else [given])}
    return tuple(axis for i, axis in enumerate(axes) if not (i in gone and sizes[i] == 1))


@rule("expand", "expand_as", "broadcast_to")
def expand(labeller: Labeller, node: fx.Node) -> Axes:
    """Axes of size 1 become new factors."""
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    return labeller.broadcast(labeller.shape(node), (labeller.axes(source), labeller.shape(source)), origin=node.name)


@rule("select")
def select(labeller: Labeller, node: fx.Node) -> Axes:
    """One entry of an axis; it becomes a segment of its own, so that nothing is merged into it."""
    axes = labeller.axes(node.args[0])  # type: ignore[arg-type]
    dim = positive(node.args[1], len(axes))
    axis, index = axes[dim], node.args[2]
    if len(axis) == 1 and isinstance(index, int) and not labeller.labels.symbols.is_symbolic(axis[0].size):
        labeller.window(axis, index % axis[0].size, index % axis[0].size + 1, node.name)
    return tuple(axis for i, axis in enumerate(axes) if i != dim)


@rule("unbind")
def unbind(labeller: Labeller, node: fx.Node) -> list[Axes]:
    """Every entry of an axis."""
    axes = labeller.axes(node.args[0])  # type: ignore[arg-type]
    dim = positive(arg(node, 1, "dim", 0), len(axes))
    return [tuple(axis for i, axis in enumerate(axes) if i != dim) for _ in node.meta["val"]]
