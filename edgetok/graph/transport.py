"""Taking values between versions of a token space: on to newer ones, and back to the original tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx

from edgetok.errors import RepairFailed
from edgetok.graph import factors
from edgetok.graph.arrange import Arrangement, Axes, UnplaceableError, arrange, give_batch, has_batch
from edgetok.graph.space import Occurrence
from edgetok.graph.state import SpaceState

if TYPE_CHECKING:
    from edgetok.graph.retrace import Walk

_HINT = "Exclude this site, or report the model: its layout is not supported yet."


@dataclass(frozen=True)
class Value:
    """A tensor while re-tracing: its axes now, and the version of each token space it carries."""

    tensor: Tensor
    axes: Axes
    versions: Mapping[int, int] = field(default_factory=dict)


def advance(
    walk: Walk, node: fx.Node, value: Value, to: Mapping[int, int], consumer: Axes, how: str | None = None
) -> Value:
    """A node's value at newer versions of the spaces it carries.

    Args:
        walk: the walk.
        node: whose value it is.
        value: its value, or that with some spaces restored.
        to: the versions wanted.
        consumer: axes of what it is used for; a table without a batch axis gets the batch axis from there.
        how: the mode of ``edgetok::reduce``; the default averages features and picks the entry of all else.
    """
    known = value is walk.values[node]
    how = how or ("mean" if value.tensor.is_floating_point() and node in walk.plan.features else "first")
    for state in walk.carried(value.axes):
        index = state.index
        for version in range(value.versions.get(index, 0) + 1, to.get(index, 0) + 1):
            aligned = () if has_batch(value.axes, state.batch) else tuple(map(factors.ids, consumer))
            key = (node, index, version, how, aligned)
            if not known or key not in walk.advanced:
                walk.advanced[key] = step(walk, value, state, version, consumer, how)
            value = walk.advanced[key]
    return value


def step(walk: Walk, value: Value, state: SpaceState, version: int, consumer: Axes, how: str) -> Value:
    """A value at ``version``, from the version before."""
    if not has_batch(value.axes, state.batch):
        value = _with_batch(walk, value, state, consumer)
    for where in state.space.occurrences(value.axes):
        token_map, weights = state.map_for(where, version), state.weights_for(where, version - 1)
        reduce = partial(token_map.reduce, sizes=weights if how == "mean" else None, how=how)
        value = mapped(walk, value, state, where, version - 1, reduce)
    return replace(value, versions={**value.versions, state.index: version})


def _with_batch(walk: Walk, value: Value, state: SpaceState, consumer: Axes) -> Value:
    try:
        tensor, axes = give_batch(value.tensor, value.axes, consumer, state.batch, walk.measure)
    except UnplaceableError as error:
        raise RepairFailed(
            "A table without a batch axis cannot follow the tokens of each sample.",
            why=f"{error}: it has axes {value.axes} and meets {consumer}",
            hint=_HINT,
        ) from None
    return replace(value, tensor=tensor, axes=axes)


def mapped(
    walk: Walk, value: Value, state: SpaceState, where: Occurrence, version: int, function: Callable[[Tensor], Tensor]
) -> Value:
    """A value with ``function`` applied to it as ``(batch, tokens, rest)``, tokens being those at ``where``."""
    return replace(value, tensor=_placed(walk, value, state, where, version).apply(value.tensor, function))


def plain_tokens(walk: Walk, value: Value, state: SpaceState, where: Occurrence) -> Tensor:
    """A value of the newest version as ``(batch, tokens, rest)``."""
    return _placed(walk, value, state, where, state.now).view(value.tensor)


def _placed(walk: Walk, value: Value, state: SpaceState, where: Occurrence, version: int) -> Arrangement:
    others = {k: v for k, v in value.versions.items() if k != state.index}
    try:
        return arrange(
            value.tensor.shape,
            value.axes,
            where,
            state.batch,
            lambda axis: walk.measure(axis, others),
            state.tokens(where, version),
        )
    except UnplaceableError as error:
        raise RepairFailed(
            "A value does not have the batch that the token map varies over.",
            why=f"{error}: it has axes {value.axes}",
            hint=_HINT,
        ) from None


def _restore(y: Tensor, dest: Tensor, dropped: Tensor | None) -> Tensor:
    if dropped is not None and dropped.shape[2] != y.shape[2]:
        raise RepairFailed(
            "Dropped tokens have no value where the model needs all tokens again.",
            why=f"they had {dropped.shape[2]} channels when they were dropped, and tokens have {y.shape[2]} now",
            hint="Use a method that merges tokens instead of dropping them, or exclude the sites before this place.",
        )
    return torch.ops.edgetok.restore(y, dest, dropped)  # type: ignore[no-any-return]


def restored(walk: Walk, value: Value, state: SpaceState) -> Value:
    """All original tokens of a value: each has the value of the token it became."""
    index = state.index
    version = value.versions[index]
    if state.is_local(version):
        return _restored_one_by_one(walk, value, state)
    for where in state.space.occurrences(value.axes):
        start, stop = state.start(where), state.start(where) + state.tokens(where, 0)
        dest = state.destinations(version)
        if (start, stop) != (0, state.versions[0].tokens):
            dest = (dest[:, start:stop] - start).clamp_min(-1)

        value = mapped(walk, value, state, where, version, partial(_restore, dest=dest, dropped=None))
    return _without(value, index)


def _restored_one_by_one(walk: Walk, value: Value, state: SpaceState) -> Value:
    """:func:`restored` without composing the maps."""
    index = state.index
    for version in range(value.versions[index], 0, -1):
        for where in state.space.occurrences(value.axes):
            back = partial(state.map_for(where, version).restore, old=state.tokens(where, version - 1))
            value = mapped(walk, value, state, where, version, back)
        value = replace(value, versions={**value.versions, index: version - 1})
    return _without(value, index)


def refilled(walk: Walk, value: Value, state: SpaceState) -> Value:
    """All tokens of a value on the residual stream: what a map dropped comes back as it was."""
    index = state.index
    for version in range(value.versions[index], 0, -1):
        (where,) = state.space.occurrences(value.axes)
        held, before = state.versions[version], state.versions[version - 1]
        assert held.map is not None
        if held.map.local:
            back = partial(held.map.restore, old=before.tokens)
        else:
            back = partial(_restore, dest=held.map.destinations(before.tokens), dropped=held.residual)
        value = mapped(walk, value, state, where, version, back)
        value = replace(value, versions={**value.versions, index: version - 1})
    return _without(value, index)


def _without(value: Value, index: int) -> Value:
    return replace(value, versions={k: v for k, v in value.versions.items() if k != index})
