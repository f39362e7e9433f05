"""Labels: every axis of every value of a graph as a product of factors.

One forward walk; each operation's rule (``edgetok.graph.rules``) says what its output axes are in terms of its input
axes and unifies what the operation shows to be the same. Labels are derived from a graph in milliseconds and never
stored.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import fx

from edgetok.graph import factors
from edgetok.graph.factors import Axis, ConflictError, Factor
from edgetok.graph.nodes import op_name, operand, tensors
from edgetok.graph.symbols import Symbols

if TYPE_CHECKING:
    from collections.abc import Mapping

Axes = tuple[Axis, ...]
Rule = Callable[["Labeller", fx.Node], "Axes | list[Axes]"]

_RULES: dict[str, Rule] = {}


def rule(*ops: str) -> Callable[[Rule], Rule]:
    """Register a label rule for operations by name (``"linear"`` stands for ``aten.linear.*``; others ``"ns::op"``)."""

    def register(function: Rule) -> Rule:
        for op in ops:
            if op in _RULES:
                raise ValueError(f"{op} has a label rule already: {_RULES[op].__name__}")
            _RULES[op] = function
        return function

    return register


@dataclass
class Labels:
    """The result: axes per node (a list for several outputs), and what could not be labelled."""

    symbols: Symbols
    table: dict[fx.Node, Axes | list[Axes]] = field(default_factory=dict)
    unknown: dict[fx.Node, str] = field(default_factory=dict)
    conflicts: dict[fx.Node, str] = field(default_factory=dict)

    def axes(self, node: fx.Node) -> Axes:
        """The axes of a single-output node, in terms of the finest factors known."""
        entry = self.table[node]
        assert isinstance(entry, tuple), f"{node} has several outputs"
        return tuple(factors.resolve(axis) for axis in entry)

    def has(self, node: object) -> bool:
        """Whether ``node`` is a node with one labelled tensor."""
        return isinstance(node, fx.Node) and isinstance(self.table.get(node), tuple)

    def outputs(self, node: fx.Node) -> list[Axes]:
        """The axes of each output of a node."""
        entry = self.table.get(node, [])
        entries = [entry] if isinstance(entry, tuple) else entry
        return [tuple(factors.resolve(axis) for axis in axes) for axes in entries]


class Labeller:
    """What a rule may use: shapes and axes of nodes, fresh factors, unification."""

    def __init__(self, symbols: Symbols, dynamic: Mapping[str, Mapping[int, str]]) -> None:
        self.labels = Labels(symbols)
        self._dynamic = dynamic
        self._wholes: list[Factor] = []

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape of a tensor node, symbols as primes."""
        return self.labels.symbols.sizes(node.meta["val"].shape)

    def axes(self, node: fx.Node) -> Axes:
        """The axes of an input node."""
        return self.labels.axes(node)

    def fresh(self, shape: Sequence[int], origin: str, tags: Sequence[set[str]] = ()) -> Axes:
        """New factors for a shape; axes of size 1 are empty products."""
        given = list(tags) + [set()] * (len(shape) - len(tags))
        return tuple(
            () if n == 1 else (Factor(n, f"{origin}.{i}", set(t)),)
            for i, (n, t) in enumerate(zip(shape, given, strict=True))
        )

    def broadcast(self, shape: Sequence[int], *operands: tuple[Axes, Sequence[int]], origin: str = "broadcast") -> Axes:
        """The axes of a broadcast to ``shape``; axes that meet are unified."""
        out: list[Axis] = [()] * len(shape)
        for axes, sizes in operands:
            offset = len(shape) - len(sizes)
            for i, (axis, n) in enumerate(zip(axes, sizes, strict=True), start=offset):
                if n == 1:
                    continue
                out[i] = _met(out[i], axis) if out[i] else axis
        fresh = self.fresh(shape, origin)
        return tuple(axis or new for axis, new in zip(out, fresh, strict=True))

    def elementwise(self, node: fx.Node) -> Axes:
        """Axes of an operation on broadcast operands."""
        inputs = [a for a in node.all_input_nodes if self.labels.has(a)]
        return self.broadcast(self.shape(node), *((self.axes(a), self.shape(a)) for a in inputs), origin=node.name)

    def join(self, pieces: Sequence[Axis], origin: str) -> Axis:
        """The axis that is the concatenation of ``pieces``: one factor for the same pieces, however often joined."""
        finest = [leaf for piece in pieces for leaf in factors.leaves(piece)]
        if len(finest) == 1:
            return finest[0]
        whole = self._known_whole(finest)
        if whole is None:
            whole = Factor(sum(map(factors.size, finest)), origin, segments=tuple(finest))
            self._wholes.append(whole)
        return factors.resolve((whole,))

    def _known_whole(self, finest: list[Axis]) -> Factor | None:
        """The factor seen before with these finest segments; segments of one entry have no identity of their own."""
        wanted = [factors.ids(leaf) for leaf in finest]
        if not any(wanted):
            return None
        for whole in self._wholes:
            if [factors.ids(leaf) for leaf in factors.leaves((whole,))] == wanted:
                return whole
        return None

    def window(self, axis: Axis, start: int, stop: int, origin: str) -> Axis:
        """The part ``[start, stop)`` of an axis as an axis; cuts are recorded as segment boundaries."""
        resolved = factors.resolve(axis)
        if (start, stop) == (0, factors.size(resolved)):
            return resolved
        if len(resolved) != 1:
            return self.fresh((stop - start,), origin)[0]
        factors.cut(resolved[0], start)
        factors.cut(resolved[0], stop)
        picked, offset = [], 0
        for leaf in factors.leaves(resolved):
            if start <= offset < stop:
                picked.append(leaf)
            offset += factors.size(leaf)
        if resolved[0] not in self._wholes:
            self._wholes.append(resolved[0])
        return self.join(picked, origin)

    def placeholder(self, node: fx.Node) -> Axes:
        """Fresh axes of an input; batch axes and axes of user inputs are tagged."""
        given = self._dynamic.get(node.name)
        if given is None:
            return self.fresh(self.shape(node), node.name)
        batch = {axis for axis, symbol in given.items() if symbol == "batch"} or {0}
        tags = [{f"input:{node.name}"} | ({"batch"} if i in batch else set()) for i in range(len(self.shape(node)))]
        return self.fresh(self.shape(node), node.name, tags)

    def visit(self, node: fx.Node) -> None:
        """Label one node; a conflict or a missing rule leaves fresh axes and a note."""
        values = tensors(node)
        if not values or node.op == "output":
            return
        if node.op in ("placeholder", "get_attr"):
            self.labels.table[node] = self.placeholder(node)
        elif node.target is operator.getitem:
            self.labels.table[node] = self.labels.outputs(operand(node))[node.args[1]]  # type: ignore[index]
        else:
            self.labels.table[node] = self._by_rule(node, values)

    def _by_rule(self, node: fx.Node, values: list[torch.Tensor]) -> Axes | list[Axes]:
        sizes = [self.labels.symbols.sizes(v.shape) for v in values]
        function = _RULES.get(op_name(node))
        if function is None:
            self.labels.unknown[node] = op_name(node)
        else:
            try:
                found = function(self, node)
                _require_sizes(found if isinstance(found, list) else [found], sizes)
                return found
            except ConflictError as conflict:
                self.labels.conflicts[node] = str(conflict)
        axes = [self.fresh(s, node.name) for s in sizes]
        return axes[0] if isinstance(node.meta["val"], torch.Tensor) else axes


def _met(a: Axis, b: Axis) -> Axis:
    """Two axes that meet as one. Channels that are made up otherwise are still channels: they stay what they were.

    A table of rotations may be joined of pieces where features are pairs; no token can be lost there.
    """
    try:
        factors.unify(a, b)
    except ConflictError:
        known = next((axis for axis in (a, b) if all("channel" in f.tags for f in factors.resolve(axis))), None)
        if known is None:
            raise
        return known
    return a


def _require_sizes(found: Sequence[Axes], sizes: Sequence[tuple[int, ...]]) -> None:
    """Axes must have the sizes that the trace shows: a rule that is mistaken about an operation must not spread."""
    labelled = [tuple(factors.size(axis) for axis in axes) for axes in found]
    if labelled != list(sizes):
        raise ConflictError(f"its labels have sizes {labelled}, its values {list(sizes)}")


def label(graph: fx.Graph, dynamic: Mapping[str, Mapping[int, str]]) -> Labels:
    """Label every value of a graph.

    Args:
        graph: functional ATen with fake values in ``meta["val"]``, as ``torch.export`` makes it.
        dynamic: user inputs by placeholder name, with their symbolic axes (``{"x": {0: "batch"}}``; ``{}`` for none).
    """
    from edgetok.graph import rules  # noqa: F401  registers the built-in rules

    labeller = Labeller(Symbols(), dynamic)
    for node in graph.nodes:
        labeller.visit(node)
    return labeller.labels
