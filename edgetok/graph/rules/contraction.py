"""Operations that contract axes: linear layers, matrix products, convolutions, embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.graph import factors
from edgetok.graph.labels import Axes, rule

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.factors import Axis
    from edgetok.graph.labels import Labeller


def mark_channel(*axes: Axis) -> None:
    """Tag factors as channels: they are contracted with, or made by, weights."""
    for axis in axes:
        for factor in factors.resolve(axis):
            factor.tags.add("channel")


@rule("linear")
def linear(labeller: Labeller, node: fx.Node) -> Axes:
    """``(..., in) x (out, in) -> (..., out)``."""
    x, weight = node.args[:2]
    axes, matrix = labeller.axes(x), labeller.axes(weight)  # type: ignore[arg-type]
    factors.unify(axes[-1], matrix[1])
    mark_channel(*matrix)
    return (*axes[:-1], matrix[0])


@rule("addmm", "addbmm", "baddbmm")
def addmm(labeller: Labeller, node: fx.Node) -> Axes:
    """``bias + (n, k) x (k, m)``."""
    return _matmul(labeller, node, node.args[1], node.args[2])  # type: ignore[arg-type]


@rule("matmul", "mm", "bmm")
def matmul(labeller: Labeller, node: fx.Node) -> Axes:
    """``(..., n, k) x (..., k, m) -> (..., n, m)``."""
    return _matmul(labeller, node, node.args[0], node.args[1])  # type: ignore[arg-type]


def _matmul(labeller: Labeller, node: fx.Node, a: fx.Node, b: fx.Node) -> Axes:
    left, right = labeller.axes(a), labeller.axes(b)
    left_shape, right_shape = labeller.shape(a), labeller.shape(b)
    if len(left) == 1:
        left, left_shape = ((), *left), (1, *left_shape)
    vector = len(right) == 1
    if vector:
        right, right_shape = (*right, ()), (*right_shape, 1)
    factors.unify(left[-1], right[-2])
    if b.op in ("placeholder", "get_attr"):
        mark_channel(right[-1], right[-2])
    shape = labeller.shape(node)
    rows = 1 if len(labeller.axes(a)) > 1 else 0
    lead = shape[: len(shape) - rows - (0 if vector else 1)]
    batch = labeller.broadcast(lead, (left[:-2], left_shape[:-2]), (right[:-2], right_shape[:-2]), origin=node.name)
    return (*batch, *([left[-2]] if rows else []), *([] if vector else [right[-1]]))


@rule(*"conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d".split())
def convolution(labeller: Labeller, node: fx.Node) -> Axes:
    """Batch is kept, channels come from the weights, space is new."""
    axes = labeller.axes(node.args[0])  # type: ignore[arg-type]
    shape = labeller.shape(node)
    fresh = labeller.fresh(shape, node.name)
    mark_channel(fresh[1])
    return (axes[0], *fresh[1:])


@rule("embedding")
def embedding(labeller: Labeller, node: fx.Node) -> Axes:
    """``(vocabulary, d)[indices] -> (*indices, d)``."""
    weight, indices = node.args[:2]
    return (*labeller.axes(indices), labeller.axes(weight)[1])  # type: ignore[arg-type]


@rule("einsum")
def einsum(labeller: Labeller, node: fx.Node) -> Axes:
    """Axes of one letter are the same axis."""
    equation, operands = node.args[:2]
    inputs, _, output = str(equation).replace(" ", "").partition("->")
    known: dict[str, Axis] = {}
    for letters, operand in zip(inputs.split(","), operands, strict=True):  # type: ignore[arg-type]
        for letter, axis in zip(letters, labeller.axes(operand), strict=True):  # type: ignore[arg-type]
            if letter in known and axis:
                factors.unify(known[letter], axis)
            known[letter] = known.get(letter) or axis
    return tuple(known[letter] for letter in output)
