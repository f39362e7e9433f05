"""Where a failing file goes wrong first: every module's last value, runtime against reference."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch.fx import Node

from edgetok.verify.checkbuild import Arrays, Toolchain, check_build
from edgetok.verify.compare import figures
from edgetok.verify.replay import decision_nodes, replay

if TYPE_CHECKING:
    from pathlib import Path

    from edgetok.graph.program import Program
    from edgetok.verify.parity import Figures
    from edgetok.verify.tolerance import Bound

JUMP_DB = 20.0
"""Without a module out of bounds, a loss of this much from one module to the next counts as the divergence."""


def module_of(node: Node) -> str:
    """The module a node comes from, by edgetok's lineage or else by torch's own record; empty if unknown."""
    lineage = node.meta.get("custom", {}).get("edgetok", {})
    if "module" in lineage:
        return str(lineage["module"])
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def landmarks(program: Program) -> dict[str, str]:
    """The last floating tensor of every module, node name -> module, in graph order."""
    last: dict[str, str] = {}
    for node in program.exported.graph.nodes:
        value = node.meta.get("val")
        if node.op == "call_function" and isinstance(value, torch.Tensor) and value.is_floating_point():
            last.pop(module_of(node), None)
            last[module_of(node)] = node.name
    return {name: module for module, name in last.items()}


def first_diverging(program: Program, tools: Toolchain, batch: Arrays, bound: Bound, directory: Path) -> str | None:
    """The first module whose value in the runtime is out of ``bound``, or after which the error jumps.

    Args:
        program: the program that failed.
        tools: how it was exported.
        batch: inputs on which it failed.
        bound: what every module's value should keep to.
        directory: for the check build.
    """
    marks = landmarks(program)
    decisions = [node.name for node in decision_nodes(program)]
    build = check_build(program, tools, [*decisions, *marks], directory, "modules")
    _, values = build(batch)
    reference = replay(program, batch, {name: values[name] for name in decisions}, list(marks))
    found = {module: figures(values[name][0], reference.values[name]) for name, module in marks.items()}
    outside = (module for module, measured in found.items() if not bound.admits(measured))
    return next(outside, None) or _jump(found)


def _jump(found: dict[str, Figures]) -> str | None:
    """The module after which most of the signal-to-noise ratio is lost, if that is a jump at all."""
    modules = list(found)
    drops = [found[a].snr_db - found[b].snr_db for a, b in pairwise(modules)]
    if not drops or max(drops) < JUMP_DB:
        return None
    return modules[drops.index(max(drops)) + 1]
