"""Mean, sum, maximum and minimum over tokens, as if every original token were there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgetok.graph.arrange import UnplaceableError, cast, spread
from edgetok.graph.nodes import op_name, operand
from edgetok.graph.rules.reduction import reduced_dims

if TYPE_CHECKING:
    from edgetok.graph.repair.operation import Operation
    from edgetok.graph.space import Occurrence
    from edgetok.graph.state import SpaceState
    from edgetok.graph.transport import Value


def average(operation: Operation) -> Any:
    """``mean(restore(x))`` is a mean of ``x`` weighted by size; a maximum needs no weights at all."""
    source = operand(operation.node)
    axes = operation.walk.labels.axes(source)
    dims = reduced_dims(operation.node, len(axes))
    for index, version in operation.versions.items():
        state = operation.walk.states[index]
        for where in (o for o in state.space.occurrences(axes) if o.axis in dims):
            return _over_tokens(operation, state, where, version)
    return operation.plain()


def _over_tokens(operation: Operation, state: SpaceState, where: Occurrence, version: int) -> Any:
    from edgetok.graph.repair import whole

    source, name = operand(operation.node), op_name(operation.node)
    exact = not (state.drops(version) or state.padded or state.is_soft(version))
    if exact and name in ("amax", "amin"):
        return operation.plain()
    held = _weighted(operation, state, where, version) if exact and name in ("mean", "sum") else None
    held = held or whole(operation.walk, source, frozenset({state.index}))
    tensor = held.tensor
    args = operation.arguments(operation.node.args, lambda _: tensor)
    assert callable(operation.node.target)
    return operation.result(operation.node.target(*args, **operation.node.kwargs), held.versions)


def _weighted(operation: Operation, state: SpaceState, where: Occurrence, version: int) -> Value | None:
    """The operand with every token multiplied by what it stands for; ``None`` where weights do not fit its layout."""
    source = operand(operation.node)
    held, weights = operation.values[source], state.weights_for(where, version)
    if weights is None or not held.tensor.is_floating_point():
        return None
    try:
        factor = spread(cast(weights, held.tensor.dtype), held.axes, where, state.batch)
    except UnplaceableError:
        return None
    scale = weights.shape[1] / state.tokens(where, 0) if op_name(operation.node) == "mean" else 1.0
    return replace(held, tensor=held.tensor * (factor if scale == 1.0 else factor * scale))
