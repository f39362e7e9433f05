"""Inserting one reduction: ask the plugin for a token map, and make a new version of the space with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx

from edgetok.errors import PluginFailed
from edgetok.graph import factors
from edgetok.graph.nodes import operands
from edgetok.graph.signals import Signals
from edgetok.graph.space import Occurrence
from edgetok.graph.state import SpaceState, Version
from edgetok.graph.tokens import TokenMap
from edgetok.graph.transport import Value, advance, plain_tokens, step

if TYPE_CHECKING:
    from edgetok.graph.retrace import Step, Walk
    from edgetok.graph.scope import Scope


def insert(walk: Walk, reduction: Step, node: fx.Node) -> Value:
    """Apply one reduction to the value of its anchor: the value on the new tokens.

    Raises:
        PluginFailed: the plugin raised, or its map does not fit.
    """
    state = _state(walk, reduction, walk.values[node].tensor.dtype)
    value = _newest(walk, state, node)
    (where,) = state.space.occurrences(value.axes)
    hidden = plain_tokens(walk, value, state, where)
    signals = _signals(walk, reduction, state, hidden)
    token_map = _ask(reduction, signals, state.space.trailing)
    state.push(token_map.followed_by(signals.tokens, state.space.trailing), hidden, reduction.keep)
    return step(walk, value, state, state.now, value.axes, "mean")


def open_scope(walk: Walk, reduction: Step, scope: Scope) -> SpaceState:
    """The state of a reduction that is confined to one attention: its one map, made of the value it goes in at.

    Raises:
        PluginFailed: the plugin raised, or its map does not fit.
    """
    site, space, value = reduction.site, reduction.site.space, walk.values[scope.entry]
    state = SpaceState(space, site.batch, "", reduction.plugin.proportional, [Version(space.sizes)], scope)
    (where,) = space.occurrences(value.axes)
    whole = plain_tokens(walk, value, state, where)
    ahead, trailing = state.start(where), space.trailing
    tokens = space.tokens - trailing - ahead
    hidden = whole if whole.shape[1] == tokens else whole[:, :tokens]
    signals = Signals(site, hidden, None, tokens, space.protected - ahead, False, _no_heads)
    token_map = _ask(reduction, signals, ahead + trailing).preceded_by(ahead)
    state.push(token_map.followed_by(ahead + tokens, trailing), hidden, reduction.keep)
    return state


def _no_heads(which: str) -> Tensor:
    raise LookupError(f"there is no {which} yet where a reduction confined to one attention goes in: use `hidden`")


def _state(walk: Walk, reduction: Step, dtype: torch.dtype) -> SpaceState:
    """The state of a space, made at its first reduction; padding has size 0 from the start."""
    site = reduction.site
    if site.space.index not in walk.states:
        first = Version(site.space.sizes)
        if site.mask.kind == "padding":
            marks = next(v for n, v in walk.values.items() if n.name == site.mask.source).tensor
            first.weights = (marks != 0).to(dtype)
        padding = site.mask.source if site.mask.kind == "padding" else ""
        walk.states[site.space.index] = SpaceState(
            site.space, site.batch, padding, reduction.plugin.proportional, [first]
        )
    return walk.states[site.space.index]


def _signals(walk: Walk, reduction: Step, state: SpaceState, hidden: Tensor) -> Signals:
    space, site = state.space, reduction.site
    tokens = state.versions[-1].tokens - space.trailing
    named = dict(zip(("query", "key", "value"), operands(site.node.args[:3]), strict=True))

    def heads(which: str) -> Tensor:
        per_head = _per_head(walk, state, named[which])
        return per_head[:, :, :tokens] if space.trailing else per_head

    weights = state.versions[-1].weights
    return Signals(
        site=site,
        hidden=hidden[:, :tokens] if space.trailing else hidden,
        sizes=weights[:, :tokens] if space.trailing and weights is not None else weights,
        tokens=tokens,
        protected=space.protected,
        padded=state.padded,
        _heads=heads,
    )


def _per_head(walk: Walk, state: SpaceState, node: fx.Node) -> Tensor:
    """``(batch, heads, tokens, d)`` of an operand of the attention, whatever its layout."""
    held = _newest(walk, state, node)
    rank, d = len(held.axes), held.tensor.shape[-1]
    (at,) = state.space.occurrences(held.axes[-2:-1])
    tokens_alone = at.stop - at.start == len(held.axes[-2])
    if rank == 4 and tokens_alone and factors.ids(held.axes[0]) == factors.ids(state.batch):
        return held.tensor
    flat = plain_tokens(walk, held, state, Occurrence(rank - 2, at.start, at.stop, at.first, at.last))
    return flat.reshape(flat.shape[0], flat.shape[1], -1, d).transpose(1, 2)


def _newest(walk: Walk, state: SpaceState, node: fx.Node) -> Value:
    """A node's value on the newest tokens, also where it was computed from all of them."""
    value: Value = walk.values[node]
    return advance(walk, node, value, {state.space.index: state.now}, value.axes)


def _ask(reduction: Step, signals: Signals, apart: int) -> TokenMap:
    """The plugin's map; ``apart`` tokens of the sequence are not among those it sees."""
    plugin, site = reduction.plugin, reduction.site
    keep = reduction.keep - apart
    try:
        token_map = plugin.reduce(signals, keep)
    except Exception as error:
        raise PluginFailed(
            f"Plugin {plugin.name!r} failed at {site.name}.",
            why=f"{type(error).__name__}: {error}",
            hint=f"This is a bug in the plugin, or {plugin.options()} does not suit the model.",
        ) from error
    if token_map.keep.shape[1] != keep:
        raise PluginFailed(
            f"Plugin {plugin.name!r} left {token_map.keep.shape[1]} tokens at {site.name}.",
            why=f"its plan said {keep}",
            hint="keep() and reduce() of a plugin must agree on the number of tokens.",
        )
    return token_map
