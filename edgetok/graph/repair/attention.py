"""Attention over fewer tokens: keys are weighed by what they stand for, and masks follow the tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from edgetok.graph.arrange import cast
from edgetok.graph.nodes import argument, mask_of, operands

if TYPE_CHECKING:
    from torch import Tensor, fx

    from edgetok.graph.arrange import Axes, Size
    from edgetok.graph.repair.operation import Operation
    from edgetok.graph.retrace import Walk
    from edgetok.graph.state import SpaceState

aten = torch.ops.aten


def attention(operation: Operation) -> Any:
    """``softmax(q k^T * scale + log size + mask) v`` on the newest tokens."""
    node, labels = operation.node, operation.walk.labels
    lead = labels.axes(node)[:-2]
    sources = operands(node.args[:3])
    rows, columns = (labels.axes(source)[-2] for source in sources[:2])
    versions = (operation.asked, operation.versions, operation.versions)
    tensors = [
        operation.value(source, (*lead, *labels.axes(source)[-2:]), versions=to).tensor
        for source, to in zip(sources, versions, strict=True)
    ]
    mask = _mask(operation, (*lead, rows, columns), tensors[0].dtype)
    dropout, causal = argument(node, 4, "dropout_p", 0.0), argument(node, 5, "is_causal", False)
    rest = {k: node.kwargs[k] for k in ("scale", "enable_gqa") if k in node.kwargs}
    out = aten.scaled_dot_product_attention.default(*tensors, mask, dropout, causal, **rest)
    return operation.result(out, operation.asked)


def _mask(operation: Operation, scores: Axes, dtype: torch.dtype) -> Tensor | None:
    walk, understood = operation.walk, operation.walk.plan.masks[operation.node]
    biases, replaced = [], False
    for index, version in operation.versions.items():
        state = walk.states[index]
        for where in (o for o in state.space.occurrences(scores) if o.axis == len(scores) - 1):
            replaced = replaced or (state.padded and not understood.additive)
            bias = state.bias(version)
            if bias is not None:
                window = _window(bias, state.start(where), state.tokens(where, version))
                biases.append(_on_scores(cast(window, dtype), scores, state, walk))
    operand = mask_of(operation.node)
    given = None if operand is None or replaced else _given(operation, operand, scores, biases)
    for bias in biases:
        given = bias if given is None else given + bias
    return given


def _window(bias: Tensor, start: int, tokens: int) -> Tensor:
    return bias if bias.shape[1] == tokens else bias[:, start : start + tokens]


def _given(operation: Operation, operand: fx.Node, scores: Axes, biases: list[Tensor]) -> Tensor:
    mask = operation.tensor(operand, scores, how="first")
    if mask.dtype != torch.bool or not biases:
        return mask
    zero = torch.zeros((), dtype=biases[0].dtype, device=mask.device)
    return torch.where(mask, zero, torch.finfo(biases[0].dtype).min / 2)


def _on_scores(bias: Tensor, scores: Axes, state: SpaceState, walk: Walk) -> Tensor:
    """``(batch, tokens)`` shaped to broadcast against attention scores, also where heads are folded into the batch."""
    batch = {f.id for f in state.batch}
    lead: list[Size] = []
    wide = bias
    for axis in scores[:-2]:
        inside = [f.id in batch for f in axis]
        if any(inside) and not all(inside):
            ones: list[Size] = [walk.measure((f,)) if hit else 1 for f, hit in zip(axis, inside, strict=True)]
            full = [walk.measure((f,)) for f in axis]
            wide = wide.reshape([*ones, bias.shape[1]]).expand([*full, bias.shape[1]]).reshape(-1, bias.shape[1])
            lead.append(wide.shape[0])
        else:
            lead.append(bias.shape[0] if any(inside) else 1)
    return wide.reshape([*lead, 1, bias.shape[1]])
