"""Multiply-accumulates per operation: one small rule per operation that multiplies.

Rules take a node and a :class:`~edgetok.report.shapes.Shapes` and return MACs. Element-wise work, normalisation,
softmax, sorting and data movement count zero, as in the papers that quote FLOPs.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.fx import Node

    from edgetok.report.shapes import Shapes

Rule = Callable[["Node", "Shapes"], int]

RULES: dict[str, Rule] = {}
"""Operation name without its overload (``"aten.linear"``) -> rule."""

HEAVY = (
    "aten._native_multi_head_attention",
    "aten._transformer_encoder_layer_fwd",
    "aten._scaled_mm",
    "aten._int_mm",
    "aten.lstm",
    "aten.gru",
    "aten.rnn_tanh",
    "aten.rnn_relu",
    "aten._cdist_forward",
    "aten.cdist",
    "aten._fft_r2c",
    "aten._fft_c2c",
    "aten._fft_c2r",
)
"""Operations that multiply but have no rule; :func:`unknown` reports them, so that no count is silently low."""


def register_macs(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operations, e.g. ``@register_macs("mylib.fused_mlp")``; the last one wins."""

    def add(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return add


def op_name(node: Node) -> str:
    """``"aten.linear"`` for a node that calls ``aten.linear.default``; ``""`` for other nodes."""
    if node.op != "call_function":
        return ""
    parts = str(node.target).split(".")
    return ".".join(parts[:2]) if len(parts) == 3 else str(node.target)


def macs(node: Node, shapes: Shapes) -> int | None:
    """MACs of one node, or None where no rule applies (the operation does not multiply, or see ``unknown``)."""
    rule = RULES.get(op_name(node))
    return None if rule is None else rule(node, shapes)


def unknown(node: Node) -> bool:
    """Whether the node may hide multiplications that nobody counts."""
    name = op_name(node)
    if not name or name in RULES:
        return False
    foreign = "." in name and name.split(".")[0] not in {"aten", "edgetok", "prims"} and hasattr(node.target, "_schema")
    return name in HEAVY or foreign or type(node.target).__name__ == "HigherOrderOperator"


@register_macs("aten.linear", "aten.mm", "aten.bmm", "aten.matmul", "aten.mv", "aten.dot", "edgetok.packed_matmul")
def _matmul(node: Node, shapes: Shapes) -> int:
    return shapes.count(node) * shapes.of(node.args[0])[-1]


@register_macs("aten.addmm", "aten.baddbmm", "aten.addmv")
def _matmul_with_bias(node: Node, shapes: Shapes) -> int:
    return shapes.count(node) * shapes.of(node.args[1])[-1]


@register_macs("aten.conv1d", "aten.conv2d", "aten.conv3d", "aten.convolution")
def _convolution(node: Node, shapes: Shapes) -> int:
    transposed = op_name(node) == "aten.convolution" and len(node.args) > 6 and bool(node.args[6])
    positions = shapes.count(node.args[0]) if transposed else shapes.count(node)
    return positions * prod(shapes.of(node.args[1])[1:])


@register_macs("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d")
def _transposed_convolution(node: Node, shapes: Shapes) -> int:
    return shapes.count(node.args[0]) * prod(shapes.of(node.args[1])[1:])


@register_macs(
    "aten.scaled_dot_product_attention",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_cudnn_attention",
)
def _attention(node: Node, shapes: Shapes) -> int:
    query, key, value = (shapes.of(argument) for argument in node.args[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


@register_macs("aten.einsum")
def _einsum(node: Node, shapes: Shapes) -> int:
    """Contracts from left to right, as ``torch.einsum`` does without a path."""
    equation, operands = str(node.args[0]).replace(" ", ""), [shapes.of(a) for a in node.args[1]]  # type: ignore[union-attr]
    inputs, _, output = equation.partition("->")
    terms = _named_axes(inputs.split(","), operands)
    total, left = 0, terms[0]
    for position, right in enumerate(terms[1:], start=2):
        joined = left | right
        total += prod(joined.values())
        later = set(output).union(*terms[position:]) | {name for name in joined if len(name) > 1}
        left = {name: size for name, size in joined.items() if name in later}
    return total


def _named_axes(terms: list[str], shapes: list[tuple[int, ...]]) -> list[dict[str, int]]:
    """Axis name -> size per operand; axes under an ellipsis are named ``"...1"`` from the right."""
    named = []
    for term, shape in zip(terms, shapes, strict=True):
        head, dots, tail = term.partition("...")
        hidden = len(shape) - len(head) - len(tail)
        names = [*head, *(f"...{hidden - i}" for i in range(hidden if dots else 0)), *tail]
        named.append(dict(zip(names, shape, strict=True)))
    return named
