"""How far a reduction reaches: all that follows, or one attention alone, with every token back after it.

A confined reduction goes in where the queries, keys and values of an attention are made, and is undone where its result
meets anything that is not made of it alone. Between the two, the graph runs on the new tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from torch import fx

from edgetok.graph.nodes import ancestors, names, op_name, operands
from edgetok.graph.repair.wholes import AVERAGING, is_one_by_one

if TYPE_CHECKING:
    from collections.abc import Container

    from edgetok.graph.labels import Labels
    from edgetok.graph.space import Space

Extent = Literal["onward", "attention", "keys"]
"""``onward``: all that follows. ``attention``: queries, keys and values of one attention, and its result is restored.
``keys``: the keys and values of one attention alone, so that nothing need be restored."""

CONFINED: Final[tuple[Extent, ...]] = ("attention", "keys")

_NOTHING = "its queries, keys and values have no tokens of the space"
_ATTENTION = "scaled_dot_product_attention"
_LINEAR = names(
    """linear reshape view transpose permute unsqueeze squeeze unbind split split_with_sizes chunk select slice
    getitem"""
)
"""What gives the same before or after averaging tokens: a confined reduction goes in before it, and saves it."""


@dataclass(frozen=True)
class Scope:
    """The part of a graph that a confined reduction is about.

    Attributes:
        extent: what of the attention it reduces.
        node: the attention.
        entry: the value that tokens are compared by.
        inside: all nodes that run on the new tokens.
        index: tells it from token spaces and other scopes; below 0.
    """

    extent: Extent
    node: fx.Node
    entry: fx.Node
    inside: frozenset[fx.Node] = field(repr=False)
    index: int


@dataclass(frozen=True)
class Finder:
    """Finds scopes of a space's attentions.

    Attributes:
        space: the token space.
        labels: of the graph.
        features: nodes that carry features (``edgetok.graph.dependence.feature_nodes``).
    """

    space: Space
    labels: Labels
    features: Container[fx.Node]

    def find(self, node: fx.Node, extent: Extent, index: int = -1) -> Scope | str:
        """The scope of an attention, or why it has none, in words for people."""
        order = {n: i for i, n in enumerate(node.graph.nodes)}
        before = self._of_keys(node) if extent == "keys" else self._of_all(node, order)
        after = {node} if extent == "keys" else self._after(node)
        if isinstance(before, str):
            return before
        if isinstance(after, str):
            return after
        inside = frozenset(before | after)
        first = min(inside, key=order.__getitem__)
        entries = [a for a in self._parents(first) if a not in inside and self.labels.has(a)]
        return Scope(extent, node, entries[-1], inside, index) if entries else _NOTHING

    def carries(self, node: fx.Node) -> bool:
        """Whether a node has features of the space's tokens, in any of its outputs."""
        outputs = self.labels.outputs(node)
        return node in self.features and any(self.space.carried_by(axes) for axes in outputs)

    def _parents(self, node: fx.Node) -> list[fx.Node]:
        return [a for a in node.all_input_nodes if self.carries(a)]

    def _is_inside(self, node: fx.Node) -> bool:
        """Whether an operation can run on the new tokens: it treats them alike, and averages none of them away."""
        return is_one_by_one(node) and (op_name(node) not in AVERAGING or self.carries(node))

    def _of_all(self, node: fx.Node, order: dict[fx.Node, int]) -> set[fx.Node] | str:
        """All that lies between the one value that queries, keys and values are made of and the attention."""
        frontier, inside = {a for a in operands(node.args[:3]) if self.carries(a)}, set[fx.Node]()
        if not frontier:
            return _NOTHING
        while len(frontier) > 1 or self._may_come_later(*frontier):
            last = max(frontier, key=order.__getitem__)
            parents = self._parents(last)
            if not parents or not self._is_inside(last) or op_name(last) == _ATTENTION:
                return f"its queries, keys and values are not made of one value token by token ({last.name})"
            frontier.remove(last)
            inside.add(last)
            frontier.update(parents)
        return inside

    def _may_come_later(self, entry: fx.Node) -> bool:
        """Whether an operation can as well run on the new tokens, or has to since it has several outputs."""
        one = len(self._parents(entry)) == 1
        return one and (op_name(entry) in _LINEAR or not self.labels.has(entry))

    def _of_keys(self, node: fx.Node) -> set[fx.Node] | str:
        """All that keys and values are made of and queries are not."""
        query, *rest = operands(node.args[:3])
        asked, inside, stack = ancestors([query]), set[fx.Node](), list(rest)
        while stack:
            found = stack.pop()
            if found in asked or found in inside or not self.carries(found):
                continue
            if not self._is_inside(found) or op_name(found) == _ATTENTION or not self._parents(found):
                return f"its keys and values are not made of tokens one by one ({found.name})"
            inside.add(found)
            stack += found.all_input_nodes
        return {n for n in inside if not (op_name(n) == "getitem" and n.args[0] not in inside)}

    def _after(self, node: fx.Node) -> set[fx.Node] | str:
        """All that follows and has features of the attention's tokens from nowhere else."""
        after, seen = {node}, False
        for later in node.graph.nodes:
            seen = seen or later is node
            parents = self._parents(later) if seen and later.op != "output" else []
            if later is node or not parents or not all(a in after for a in parents):
                continue
            if op_name(later) == _ATTENTION:
                return f"another attention ({later.name}) follows before its result is joined with anything else"
            if self._is_inside(later):
                after.add(later)
        return after
