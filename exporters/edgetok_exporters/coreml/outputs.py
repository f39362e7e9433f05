"""Values that are returned twice: coremltools gives one of them a name, and forgets the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetok_exporters.coreml.prepare import COPIES, settled

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram


def distinct(exported: ExportedProgram, names: Sequence[str], own: int) -> tuple[list[str], dict[str, str]]:
    """Expose every value once; the program is changed in place.

    Args:
        exported: prepared.
        names: one per output, in order.
        own: how many of them are the program's, which all stay.

    Returns:
        The names of the outputs that are left, and for each name that is not, the one that carries its value.
    """
    output = exported.graph.output_node()
    first: dict[fx.Node, str] = {}
    carriers: dict[str, str] = {}
    places: list[int] = []
    for i, (node, name) in enumerate(zip(output.args[0], names, strict=True)):
        carrier = first.setdefault(_source(node), name)
        if carrier == name or i < own:
            places.append(i)
        else:
            carriers[name] = carrier
    output.args = (tuple(output.args[0][i] for i in places),)
    signature = exported.graph_signature
    signature.output_specs = [signature.output_specs[i] for i in places]
    exported.graph.eliminate_dead_code()
    settled(exported)
    return [names[i] for i in places], carriers


def _source(node: fx.Node) -> fx.Node:
    while node.target in COPIES:
        node = node.args[0]  # type: ignore[assignment]
    return node
