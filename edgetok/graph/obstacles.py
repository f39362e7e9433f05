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


def of_tokens(space: Space, lead: Iterable[Factor], labels: Labels, beside: Iterable[Factor] = ()) -> str | None:
    """What is wrong with the tokens themselves or the batch they stand in.

    Args:
        space: the tokens.
        lead: the axes before those of an attention's tokens: batch and heads.
        labels: of the program.
        beside: those of ``lead`` that are no heads, though weights contract them elsewhere.
    """
    symbols, apart = labels.symbols, list(beside)
    inside = [f for f in lead if "batch" not in f.tags and not symbols.is_symbolic(f.size)]
    free = [f for f in inside if "channel" not in f.tags or f in apart]
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
