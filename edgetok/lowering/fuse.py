"""Matches that hand their bipartite structure to the reductions behind them: the layout rules of matrix targets.

Where a target asks for it (``realisations.fused``), a match in ``reference`` order without padding becomes the matrices
of :mod:`edgetok.ops.matrix`, and every ``mean`` and ``sum`` of its map a product with them. What else reads the map (a
check build, a restore) gets ids out of the same matrices, so that there is one decision. Any other match stays.
"""

from __future__ import annotations

import copy
import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from edgetok.graph.outputs import rebuilt
from edgetok.ops import matrix_ops, register
from edgetok.ops.matrix import Layout

if TYPE_CHECKING:
    from torch._ops import OpOverload
    from torch.export import ExportedProgram

aten = torch.ops.aten


def fuse(exported: ExportedProgram) -> ExportedProgram:
    """A program whose matches are matrices where they can be.

    Args:
        exported: with ``edgetok::`` primitives and without symbolic sizes; left as it is.
    """
    module = copy.deepcopy(exported.graph_module)
    for node in module.graph.find_nodes(op="call_function", target=register.BIPARTITE_MATCH):
        if _fits(node):
            _Match(module.graph, node).rewrite()
    module.graph.eliminate_dead_code()
    module.recompile()
    return rebuilt(exported, module)


def _fits(match: fx.Node) -> bool:
    metric, sizes, r, protected, order = match.args
    assert isinstance(metric, fx.Node)
    layout = Layout.of(metric.meta["val"].shape[1], int(protected))  # type: ignore[arg-type]
    return sizes is None and order == "reference" and 0 < int(r) < layout.evens  # type: ignore[arg-type]


class _Match:
    """One match and what reads it."""

    def __init__(self, graph: fx.Graph, node: fx.Node) -> None:
        self.graph, self.node = graph, node
        self.parts = {user.args[1]: user for user in node.users if user.target is operator.getitem}
        metric, _, self.r, self.protected, _ = node.args
        assert isinstance(metric, fx.Node)
        self.metric, self.tokens = metric, metric.meta["val"].shape[1]

    def rewrite(self) -> None:
        """Replace every reduction, then whatever still reads ids."""
        metric = _packed_sum(self.graph, self.node, self.metric)
        made = _call(self.graph, self.node, matrix_ops.MATCH_MATRICES, metric, self.r, self.protected)
        self.picks, self.into, self.rank = (_call(self.graph, self.node, operator.getitem, made, i) for i in range(3))
        reductions = [user for user in self.parts[0].users if user.target == register.REDUCE] if 0 in self.parts else []
        for node in [node for node in reductions if node.args[5] in ("sum", "mean") and self._is_ours(node)]:
            _replace(self.graph, node, self._sum(node) if node.args[5] == "sum" else self._mean(node))
        if any(part.users for part in self.parts.values()):
            self._hand_out_ids()

    def _is_ours(self, node: fx.Node) -> bool:
        return list(node.args[2:5]) == [self.parts.get(i) for i in range(3)]

    def _sum(self, node: fx.Node) -> fx.Node:
        return _call(self.graph, node, matrix_ops.MATRIX_SUM, node.args[0], self.picks, self.into, self.protected)

    def _mean(self, node: fx.Node) -> fx.Node:
        x, sizes = node.args[:2]
        assert isinstance(x, fx.Node)
        if sizes is None:
            value = x.meta["val"]
            sizes = _call(self.graph, node, aten.full.default, list(value.shape[:2]), 1.0, dtype=value.dtype)
        return _call(self.graph, node, matrix_ops.MATRIX_MEAN, x, sizes, self.picks, self.into, self.protected)

    def _hand_out_ids(self) -> None:
        ids = _call(
            self.graph, self.node, matrix_ops.MATRIX_IDS, self.picks, self.into, self.rank, self.tokens, self.protected
        )
        for index, part in self.parts.items():
            _replace(self.graph, part, _call(self.graph, self.node, operator.getitem, ids, index))


def _packed_sum(graph: fx.Graph, where: fx.Node, metric: fx.Node) -> fx.Node:
    """``mean(keys.reshape(B, N, h, d).transpose(1, 2), 1)`` as the sum, which has the same cosines, of packed keys."""
    if metric.target != aten.mean.dim or list(metric.args[1]) != [1] or len(metric.args) > 2:  # type: ignore[arg-type]
        return metric
    heads = metric.args[0]
    assert isinstance(heads, fx.Node)
    batch, count, tokens, width = heads.meta["val"].shape
    if heads.target == aten.transpose.int and tuple(heads.args[1:]) == (1, 2):
        packed = heads.args[0]
    else:
        packed = _call(graph, where, aten.transpose.int, heads, 1, 2)
    flat = _call(graph, where, aten.reshape.default, packed, [batch, tokens, count * width])
    return _call(graph, where, matrix_ops.HEAD_SUM, flat, count)


def _call(graph: fx.Graph, where: fx.Node, target: OpOverload | Any, *args: Any, **kwargs: Any) -> fx.Node:
    """A new node in front of ``where``, with its lineage and the value torch computes for it."""
    with graph.inserting_before(where):
        node = graph.call_function(target, args, kwargs)
    values = fx.map_arg((args, kwargs), lambda given: given.meta["val"])
    node.meta.update({key: where.meta[key] for key in ("custom",) if key in where.meta})
    with _fake_mode(where):
        node.meta["val"] = target(*values[0], **values[1])
    return node


def _fake_mode(node: fx.Node) -> Any:
    value = node.meta["val"]
    fake: Any = value if isinstance(value, torch.Tensor) else value[0]
    return fake.fake_mode


def _replace(graph: fx.Graph, old: fx.Node, new: fx.Node) -> None:
    old.replace_all_uses_with(new)
    graph.erase_node(old)
