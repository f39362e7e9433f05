"""What a value depends on: user data, or constants alone; and evaluating the sub-graphs that are cheap to evaluate."""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from edgetok.graph.nodes import names, op_name

if TYPE_CHECKING:
    from edgetok.graph.labels import Labels
    from edgetok.graph.space import Space

_SIZE_OPS = names(
    """sym_size sym_numel sym_stride empty_like zeros_like ones_like full_like rand_like randn_like
    new_empty new_zeros new_ones new_full"""
)
"""Operations that read the size of their operand and not its values."""


def data_inputs(graph: fx.Graph, users: Iterable[str]) -> dict[fx.Node, frozenset[str]]:
    """For every node the user inputs whose *values* (not sizes) it depends on."""
    names, table = set(users), {}
    for node in graph.nodes:
        if node.op == "placeholder":
            table[node] = frozenset({node.name} & names)
        elif op_name(node) in _SIZE_OPS:
            table[node] = frozenset()
        else:
            table[node] = frozenset().union(*(table[a] for a in node.all_input_nodes))
    return table


def feature_nodes(graph: fx.Graph, data: Mapping[fx.Node, frozenset[str]]) -> set[fx.Node]:
    """Nodes that carry features: floating-point user data, embedded tokens, and all that is computed from them.

    What depends on user data otherwise (indices, masks, rotations computed from position ids) is about tokens, not of
    them: its entries must never be averaged.
    """
    features: set[fx.Node] = set()
    for node in graph.nodes:
        value = node.meta.get("val")
        floating = isinstance(value, torch.Tensor) and value.is_floating_point()
        if node.op == "placeholder":
            is_feature = bool(data[node]) and floating
        elif op_name(node) == "embedding":
            is_feature = bool(data[node])
        else:
            is_feature = any(a in features for a in node.all_input_nodes) and op_name(node) not in _SIZE_OPS
        if is_feature:
            features.add(node)
    return features


def attended(graph: fx.Graph, labels: Labels, space: Space) -> set[fx.Node]:
    """Everything that an attention whose keys are tokens of ``space`` is computed from."""
    found: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        over = op_name(node) == "scaled_dot_product_attention" and space.carried_by(labels.axes(node.args[1])[-2:-1])
        if over or node in found:
            found.update(node.all_input_nodes)
    return found


def meets_positions(node: fx.Node, space: Space, labels: Labels, features: Container[fx.Node]) -> bool:
    """Whether an operation on features has an operand with one entry per token that is about tokens, not of them."""
    return node in features and any(
        a not in features and labels.has(a) and space.carried_by(labels.axes(a)) for a in node.all_input_nodes
    )


class NotEvaluableError(Exception):
    """A sub-graph needs a value that is not at hand, e.g. a fake buffer."""


def evaluate(node: fx.Node, known: Mapping[str, Any]) -> Any:
    """The value of a node given the values of the placeholders it needs, by name."""
    memo: dict[fx.Node, Any] = {}

    def value(n: fx.Node) -> Any:
        if n not in memo:
            memo[n] = _run(n, known, value)
        return memo[n]

    return value(node)


def _run(node: fx.Node, known: Mapping[str, Any], value: Callable[[fx.Node], Any]) -> Any:
    if node.op == "placeholder":
        found = known.get(node.name)
        if found is None or isinstance(found, torch._subclasses.FakeTensor):
            raise NotEvaluableError(node.name)
        return found
    if not callable(node.target):
        raise NotEvaluableError(node.name)
    args: Any = fx.map_arg(node.args, value)
    if node.target is operator.getitem:
        return args[0][args[1]]
    kwargs: Any = fx.map_arg(dict(node.kwargs), value)
    return node.target(*args, **kwargs)
