"""Nodes that cost a delegate something and compute nothing, taken out of a lowered program."""

from __future__ import annotations

import torch
from torch import fx
from torch.export import ExportedProgram

aten = torch.ops.aten

_ARITHMETIC = frozenset(
    {aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.rsub.Scalar, aten.add.Scalar}
)
_RESHAPES = frozenset({aten.reshape.default, aten.view.default, aten._unsafe_view.default})
_COPIES = frozenset({aten.alias.default, aten.detach.default})


def tidy(exported: ExportedProgram) -> ExportedProgram:
    """Without copies, reshapes of reshapes, and whole numbers in floating arithmetic; in place.

    An int beside a floating tensor is lifted as an int64 constant, and a portable kernel casts it on every run.
    """
    graph = exported.graph
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in _COPIES:
            node.replace_all_uses_with(_source(node))
        elif node.target in _RESHAPES:
            _shorten(node)
        elif node.target in _ARITHMETIC and node.meta["val"].is_floating_point():
            node.args = tuple(float(arg) if type(arg) is int else arg for arg in node.args)
    graph.eliminate_dead_code()
    exported.graph_module.recompile()
    return exported


def _shorten(node: fx.Node) -> None:
    """Read what a reshape in front reads; leave the graph where the shape is the input's."""
    source = _source(node)
    while source.target in _RESHAPES:
        source = _source(source)
    shape = list(node.meta["val"].shape)
    node.target, node.args = aten.reshape.default, (source, shape)
    if list(source.meta["val"].shape) == shape and source.op == "call_function":
        node.replace_all_uses_with(source)


def _source(node: fx.Node) -> fx.Node:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return source
