"""What a program computes twice, computed once: primitives are decomposed apart, each cutting its inputs anew."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def share(exported: ExportedProgram) -> ExportedProgram:
    """Let equal operations on equal inputs be one node, the first, in place.

    Nodes that are outputs stay, since the signature names them; those of different plugins, or of none, stay apart. So
    do constants made while running: XNNPACK packs one that is a weight, and crashes where an addition reads it too.

    Args:
        exported: functional.
    """
    seen: dict[Hashable, fx.Node] = {}
    ends = set(exported.graph.output_node().all_input_nodes)
    for node in list(exported.graph.nodes):
        if node in ends or not _is_shareable(node):
            continue
        key = node.target, _frozen(node.args), _frozen(dict(node.kwargs)), _maker(node)
        first = seen.setdefault(key, node)
        if first is not node:
            node.replace_all_uses_with(first)
            exported.graph.erase_node(node)
    exported.graph_module.recompile()
    return exported


def _is_shareable(node: fx.Node) -> bool:
    """Whether a node is a tensor, and a pure function of other nodes."""
    if node.op != "call_function" or not node.all_input_nodes or not isinstance(node.meta.get("val"), torch.Tensor):
        return False
    tags = getattr(node.target, "tags", ())
    return torch.Tag.nondeterministic_seeded not in tags and isinstance(node.target, torch._ops.OpOverload)


def _maker(node: fx.Node) -> Hashable:
    """The plugin that inserted a node, or None: what a match is made of must stay known as such."""
    return node.meta.get("custom", {}).get("edgetok", {}).get("plugin")  # type: ignore[no-any-return]


def _frozen(value: Any) -> Hashable:
    """Arguments as something to compare: 1 is not 1.0, which gives another dtype, and 0.0 is not -0.0."""
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(part) for part in value)
    if isinstance(value, dict):
        return tuple((key, _frozen(part)) for key, part in sorted(value.items()))
    if isinstance(value, float):
        return value.hex()
    return value if isinstance(value, fx.Node) else (type(value), value)
