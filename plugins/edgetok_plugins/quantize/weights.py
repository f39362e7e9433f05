"""Which weights of a program are quantised, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.export.graph_signature import InputKind

from edgetok.precision import TensorFormat, WeightDtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import fx

    from edgetok.graph import Program

aten = torch.ops.aten
LINEAR = frozenset({aten.linear.default})
CONVOLUTIONS = frozenset({aten.conv1d.default, aten.conv2d.default, aten.conv3d.default, aten.convolution.default})


def formats(program: Program, dtype: WeightDtype, group: int, skip: Sequence[str]) -> dict[str, TensorFormat]:
    """Formats by state-dict name, for weights that only linear layers and convolutions read.

    A weight shared with something else, such as an embedding tied to the head, stays. In int4 convolutions stay, and
    linear layers whose inputs ``group`` does not divide.
    """
    names = _parameters(program)
    found: dict[str, TensorFormat] = {}
    for node in program.graph.nodes:
        name = names.get(node.name)
        if name is None or any(name.startswith(prefix) for prefix in skip):
            continue
        made = _format(node, dtype, group)
        if made is not None:
            found[name] = made
    return found


def _format(node: fx.Node, dtype: WeightDtype, group: int) -> TensorFormat | None:
    users = list(node.users)
    if not users or not all(user.target in LINEAR | CONVOLUTIONS and user.args[1] is node for user in users):
        return None
    if dtype == "fp16":
        return TensorFormat("fp16", "tensor")
    if dtype == "int8":
        return TensorFormat("int8", "channel")
    linear = all(user.target in LINEAR for user in users)
    return TensorFormat("int4", "group", group) if linear and node.meta["val"].shape[1] % group == 0 else None


def _parameters(program: Program) -> dict[str, str]:
    """Placeholders of parameters with their state-dict names."""
    specs = program.exported.graph_signature.input_specs
    return {spec.arg.name: str(spec.target) for spec in specs if spec.kind == InputKind.PARAMETER}
