"""What decisions are made of: the scores that they read, and the model's own values behind those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from edgetok.ops.decisions import DECISION_OPS
from edgetok.verify.replay import decision_nodes

if TYPE_CHECKING:
    from edgetok.graph.program import Program


def scores_of(decision: fx.Node) -> tuple[fx.Node, ...]:
    """The floating tensors that a decision reads."""
    return tuple(node for node in decision.all_input_nodes if _is_floating(node))


def origins(decision: fx.Node) -> tuple[fx.Node, ...]:
    """The nearest values of the model, as opposed to a plugin's, that a decision's scores are computed from.

    What earlier decisions contribute (sizes of tokens) is left out: they are replayed.
    """
    found: dict[fx.Node, None] = {}
    open_, seen = list(scores_of(decision)), set[fx.Node]()
    while open_:
        node = open_.pop()
        if node in seen or node.target in DECISION_OPS or node.op != "call_function":
            continue
        seen.add(node)
        if not _is_inserted(node):
            if _is_floating(node):
                found[node] = None
            continue
        open_.extend(node.all_input_nodes)
    return tuple(found)


def counterparts(program: Program, other: Program) -> dict[str, str]:
    """For the origins of every decision of ``program``, the same values of ``other``, a program of the same model.

    Returns:
        Names of nodes of ``program`` -> names of nodes of ``other``; without those that have none.
    """
    known = {origin_of(node): node.name for node in other.exported.graph.nodes if _is_own(node)}
    wanted = [node for decision in decision_nodes(program) for node in origins(decision)]
    return {node.name: known[origin_of(node)] for node in wanted if origin_of(node) in known}


def origin_of(node: fx.Node) -> str:
    """The node of the captured program that a node was traced from."""
    return str(_lineage(node).get("origin", node.name))


def _is_own(node: fx.Node) -> bool:
    return node.op == "call_function" and _is_floating(node) and not _is_inserted(node)


def _is_inserted(node: fx.Node) -> bool:
    return "plugin" in _lineage(node)


def _lineage(node: fx.Node) -> dict[str, Any]:
    found: dict[str, Any] = node.meta.get("custom", {}).get("edgetok", {})
    return found


def _is_floating(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.is_floating_point()
