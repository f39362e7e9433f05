"""Operations that contract axes: linear layers, matrix products, convolutions, embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.graph import factors
from edgetok.graph.labels import Axes, rule
from edgetok.graph.nodes import names, operand, operands

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.factors import Axis
    from edgetok.graph.labels import Labeller


def mark(tag: str, *axes: Axis) -> None:
    """Tag factors: ``"channel"`` if they are contracted with, or made by, weights; ``"feature"`` if made by them."""
    for axis in axes:
        for factor in factors.resolve(axis):
            factor.tags.add(tag)


@rule("linear")
def linear(labeller: Labeller, node: fx.Node) -> Axes:
    """``(..., in) x (out, in) -> (..., out)``."""
    axes, matrix = labeller.axes(operand(node, 0)), labeller.axes(operand(node, 1))
    factors.unify(axes[-1], matrix[1])
    mark("channel", *matrix)
    mark("feature", matrix[0])
    return (*axes[:-1], matrix[0])


@rule("edgetok::packed_matmul")
def packed_matmul(labeller: Labeller, node: fx.Node) -> Axes:
    """``(..., T, in) x (..., out, bytes) -> (..., T, out)``: the columns of the matrix are hidden in its bytes."""
    x, codes = operand(node, 0), operand(node, 1)
    left, right, shape = labeller.axes(x), labeller.axes(codes), labeller.shape(node)
    mark("channel", left[-1], right[-2])
    mark("feature", right[-2])
    pairs = ((left[:-2], labeller.shape(x)[:-2]), (right[:-2], labeller.shape(codes)[:-2]))
    return (*labeller.broadcast(shape[:-2], *pairs, origin=node.name), *left[-2:-1], right[-2])


@rule("addmm", "baddbmm")
def addmm(labeller: Labeller, node: fx.Node) -> Axes:
    """``bias + (..., n, k) x (..., k, m)``."""
    bias, shape = operand(node, 0), labeller.shape(node)
    product = _matmul(labeller, node, operand(node, 1), operand(node, 2))
    return labeller.broadcast(shape, (product, shape), (labeller.axes(bias), labeller.shape(bias)), origin=node.name)


@rule("matmul", "mm", "bmm")
def matmul(labeller: Labeller, node: fx.Node) -> Axes:
    """``(..., n, k) x (..., k, m) -> (..., n, m)``; a vector stands for a matrix with one row or column."""
    return _matmul(labeller, node, operand(node, 0), operand(node, 1))


def _matmul(labeller: Labeller, node: fx.Node, a: fx.Node, b: fx.Node) -> Axes:
    left, right = labeller.axes(a), labeller.axes(b)
    rows, columns = list(left[-2:-1]), list(right[-1:]) if len(right) > 1 else []
    factors.unify(left[-1], right[-2] if len(right) > 1 else right[-1])
    if b.op in ("placeholder", "get_attr"):
        mark("channel", *right[-2:])
        mark("feature", *columns)
    shape = labeller.shape(node)
    lead = shape[: len(shape) - len(rows) - len(columns)]
    pairs = ((left[:-2], labeller.shape(a)[:-2]), (right[:-2], labeller.shape(b)[:-2]))
    return (*labeller.broadcast(lead, *pairs, origin=node.name), *rows, *columns)


@rule(*names("conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d"))
def convolution(labeller: Labeller, node: fx.Node) -> Axes:
    """Batch is kept, channels come from the weights, space is new."""
    axes = labeller.axes(operand(node))
    fresh = labeller.fresh(labeller.shape(node), node.name)
    mark("channel", fresh[1])
    mark("feature", fresh[1])
    return (axes[0], *fresh[1:])


@rule("outer")
def outer(labeller: Labeller, node: fx.Node) -> Axes:
    """``(n), (m) -> (n, m)``."""
    return (labeller.axes(operand(node, 0))[0], labeller.axes(operand(node, 1))[0])


@rule("embedding")
def embedding(labeller: Labeller, node: fx.Node) -> Axes:
    """``(vocabulary, d)[indices] -> (*indices, d)``."""
    return (*labeller.axes(operand(node, 1)), labeller.axes(operand(node, 0))[1])


@rule("einsum")
def einsum(labeller: Labeller, node: fx.Node) -> Axes:
    """Axes of one letter are the same axis."""
    inputs, _, output = str(node.args[0]).replace(" ", "").partition("->")
    known: dict[str, Axis] = {}
    for letters, source in zip(inputs.split(","), operands(node.args[1]), strict=True):
        for letter, axis in zip(letters, labeller.axes(source), strict=True):
            if letter in known and axis:
                factors.unify(known[letter], axis)
            known[letter] = known.get(letter) or axis
    return tuple(known[letter] for letter in output)
