"""Concrete sizes of a captured graph's values: one sample, other symbols as in the example inputs."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.fx import Node

    from edgetok.graph.program import Program

BATCH = "batch"
"""The name of the symbol that is counted as one sample."""


class Shapes:
    """Reads ``node.meta["val"]`` with every symbol replaced by a number.

    The symbol named ``"batch"`` is 1; any other symbol has its size in the program's example inputs. A program whose
    batch is fixed keeps it; ``samples`` tells.

    Args:
        program: a captured program; nothing in it is changed.
    """

    def __init__(self, program: Program) -> None:
        self._numbers = _symbol_values(program)
        symbolic = any(symbol == BATCH for axes in program.dynamic.values() for symbol in axes.values())
        self.samples = 1 if symbolic or not program.inputs else int((*program.inputs[0].shape, 1)[0])

    def of(self, node: object) -> tuple[int, ...]:
        """The shape of a node's tensor, ``()`` for what is not a tensor."""
        value = getattr(node, "meta", {}).get("val")
        return tuple(self._number(size) for size in getattr(value, "shape", ()))

    def count(self, node: object) -> int:
        """The number of elements of a node's tensor."""
        return prod(self.of(node))

    def _number(self, size: Any) -> int:
        if isinstance(size, int):
            return size
        expression = size.node.expr.subs(self._numbers)
        return int(expression) if expression.is_number else int(size.node.hint)


def _symbol_values(program: Program) -> dict[Any, int]:
    """Symbol -> size, read off the placeholders of the program's dynamic inputs."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    values: dict[Any, int] = {}
    for name, axes in program.dynamic.items():
        values |= _of_input(nodes[program.placeholders[name]], axes, program.example[name].shape)
    return values


def _of_input(node: Node, axes: Mapping[int, str], example: Any) -> dict[Any, int]:
    shape = node.meta["val"].shape
    values: dict[Any, int] = {}
    for axis, symbol in axes.items():
        size = shape[axis]
        if not isinstance(size, int) and size.node.expr.is_symbol:
            values[size.node.expr] = 1 if symbol == BATCH else int(example[axis])
    return values
