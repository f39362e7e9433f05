"""Token counts per layer, read off a program's graph and not off the plan that asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.report.macs import op_name
from edgetok.report.regions import is_attention
from edgetok.report.shapes import Shapes

if TYPE_CHECKING:
    from edgetok.graph.program import Program


def tokens_per_layer(program: Program) -> tuple[int, ...]:
    """Tokens entering each block's self-attention, then the final count.

    An entry per scaled dot-product attention whose queries and keys are the same tokens. The final count is that of
    the last ``edgetok`` reduction after the last attention, or else the last attention's own. Empty for a program
    without attention.
    """
    shapes = Shapes(program)
    counts: list[int] = []
    final = 0
    for node in program.exported.graph.nodes:
        if is_attention(node):
            query, key = (shapes.of(argument)[-2] for argument in node.args[:2])
            if query == key:
                counts.append(key)
                final = key
        elif op_name(node) == "edgetok.reduce" and counts and shapes.of(node.args[0])[1] == final:
            final = shapes.of(node)[1]
    return (*counts, final) if counts else ()
