"""Why the engine cannot follow a reduction from an attention site, in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from edgetok.graph import factors
from edgetok.graph.nodes import op_name

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.factors import Factor
    from edgetok.graph.labels import Labels
    from edgetok.graph.masks import Mask
    from edgetok.graph.site import Site
    from edgetok.graph.space import Space

_MASKS = {
    "causal": "its mask is causal: a merged token would see the future of its first part (a causal decoder)",
    "local": "its mask is a band: merged tokens have no single distance (local attention)",
    "pattern": "its mask is a fixed pattern that tokens would leave when they merge",
    "unknown": "its mask was not understood: it is neither fixed nor padding, such as one made from the features",
}

_ALONG_AN_AXIS = {
    "softmax", "_softmax", "log_softmax", "_log_softmax", "cumsum", "sort", "argsort", "topk", "flip", "roll",
    "layer_norm", "native_layer_norm", "group_norm", "native_group_norm",
}  # fmt: skip
"""Operations that keep an axis and mix or reorder its entries; along the first axis, which is the batch, none is."""


def of_tokens(space: Space, lead: Iterable[Factor], labels: Labels) -> str | None:
    """What is wrong with the tokens themselves or the batch they stand in."""
    symbols = labels.symbols
    free = [f for f in lead if "channel" not in f.tags and "batch" not in f.tags and not symbols.is_symbolic(f.size)]
    if any(symbols.factor(f.size)[1] for f in space.axis):
        return "its number of tokens is symbolic; capture the model with a fixed number of tokens"
    if any("feature" in f.tags for f in space.axis):
        return "it attends over channels, not tokens (cross-covariance attention)"
    if free:
        names = ", ".join(str(f) for f in free)
        return f"its batch contains window or frame factors ({names}): one map per window would tear the grid apart"
    pieces = [factors.ids(s) for s in space.segments if s]
    if len(set(pieces)) < len(pieces):
        return "its sequence contains the same tokens more than once"
    return None


def is_sample(factor: Factor, after: Iterable[fx.Node], space: Space, spaces: Iterable[Space], labels: Labels) -> bool:
    """Whether the entries of a batch factor are samples of their own, such as the channels of a time series.

    They are if no attention is over that axis and if, on values of tokens after a reduction, no operation mixes,
    picks or reorders its entries: each may then have a map of its own.

    Args:
        factor: a whole axis of an input; what is a part of one is a window or a frame.
        after: all that follows the reduction.
        space: what is reduced.
        spaces: all spaces of the program.
        labels: of its nodes.
    """
    if any(factor.id in factors.ids(other.axis) for other in spaces):
        return False
    return not any(_mixes(node, factor, space, labels) for node in after)


def _mixes(node: fx.Node, factor: Factor, space: Space, labels: Labels) -> bool:
    held = [labels.axes(a) for a in node.all_input_nodes if labels.has(a) and space.carried_by(labels.axes(a))]
    held = [axes for axes in held if factor.id in _ids(axes)]
    if not held:
        return False
    if any(factor.id not in _ids(axes) for axes in labels.outputs(node)[:1]):
        return True
    inside = any(factor.id in factors.ids(axis) for axes in held for axis in axes[1:])
    return inside and op_name(node) in _ALONG_AN_AXIS


def _ids(axes: Sequence[factors.Axis]) -> set[int]:
    return {i for axis in axes for i in factors.ids(axis)}


def of_mask(mask: Mask) -> str | None:
    """What is wrong with a mask."""
    return _MASKS.get(mask.kind)


def of_graph(after: Iterable[fx.Node], space: Space, labels: Labels) -> str | None:
    """The first operation among ``after``, all that follows a reduction, that the engine knows no way through."""
    for node in after:
        if not any(labels.has(a) and space.carried_by(labels.axes(a)) for a in node.all_input_nodes):
            continue
        if node in labels.unknown:
            return f"no label rule for {labels.unknown[node]} ({node.name}), which touches its tokens later"
        if op_name(node) in ("softmax", "_softmax") and _is_square(labels.axes(node), space):
            return f"a softmax over its tokens ({node.name}) is not part of an attention the engine knows"
    return None


def _is_square(axes: Sequence[factors.Axis], space: Space) -> bool:
    return all(space.carried_by((axis,)) for axis in axes[-2:])


def of_others(site: Site, others: Sequence[Site]) -> str | None:
    """What the other sites of its space have against it: a reduction reaches all of them.

    Args:
        site: the site.
        others: all sites of its space, in order.
    """
    for other in others:
        if other.index > site.index and (reason := of_mask(other.mask)):
            return f"a later attention ({other.name}) cannot follow: {reason}"
        if other.mask.kind != site.mask.kind and "padding" in (other.mask.kind, site.mask.kind):
            return f"another attention over its tokens ({other.name}) does not hide the same padding"
        if other.mask.source != site.mask.source:
            return f"another attention over its tokens ({other.name}) takes its mask from another input"
    if site.separate:
        return "its tokens have the axis of another stream that was reduced before (one encoder run twice)"
    return None
