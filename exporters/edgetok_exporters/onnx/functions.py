"""The last step: every opaque ``edgetok::`` node becomes standard operators, inlined or as a function.

A function is specialised by the static sizes of its call; its ``overload`` names them. The operator keeps its name and
attributes, so that a runtime with a kernel of its own for ``edgetok::bipartite_match`` uses that instead of the body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from edgetok.target import Realisations
from edgetok_exporters.onnx import among, match, match_sort_free, packed, reduce, restore
from edgetok_exporters.onnx.body import INT64, Body, size

DOMAIN = "edgetok"
ARITY = {
    "bipartite_match": 2,
    "select_top": 1,
    "rank_top": 1,
    "match_among": 4,
    "reduce": 5,
    "destinations": 3,
    "restore": 3,
    "compose": 2,
    "packed_matmul": 4,
}
"""Operands of each primitive, optional ones included."""

Lowering = Callable[..., tuple[ir.Value, ...]]
DECISIONS: Mapping[str, Mapping[str, Lowering]] = {
    "bipartite_match": {"sort": match.sort_match, "sort-free": match_sort_free.sort_free_match},
    "select_top": {"sort": match.sort_select, "sort-free": match_sort_free.sort_free_select},
    "rank_top": {"sort": among.sort_rank, "sort-free": among.sort_free_rank},
    "match_among": {"sort": among.sort_among, "sort-free": among.sort_free_among},
}
MOVES: Mapping[str, Mapping[str, Lowering]] = {
    "reduce": {"gather": reduce.gather_reduce, "one-hot": reduce.one_hot_reduce},
    "destinations": {"gather": restore.gather_destinations, "one-hot": restore.one_hot_destinations},
    "restore": {"gather": restore.gather_restore, "one-hot": restore.one_hot_restore},
    "compose": {"gather": restore.gather_compose, "one-hot": restore.one_hot_compose},
}
PRODUCTS: Mapping[str, Mapping[str, Lowering]] = {"packed_matmul": {"standard": packed.standard_matmul}}


def lower_primitives(model: ir.Model, realisations: Realisations, *, keep: bool, half: bool = False) -> None:
    """Give every ``edgetok::`` node of a model its meaning, in place.

    Args:
        model: with opaque nodes as ``edgetok_exporters.onnx.translate`` makes them.
        realisations: which implementation each primitive gets.
        keep: leave the nodes and add functions, instead of inlining.
        half: the runtime computes in fp16, whatever the dtypes.
    """
    for node in list(model.graph):
        if node.domain != DOMAIN:
            continue
        realisation = realisation_of(node, realisations)
        if keep:
            _attach(model, node, realisation, half)
        else:
            _inline(model.graph, node, realisation, half)
    if not keep:
        model.opset_imports.pop(DOMAIN, None)


def realisation_of(node: ir.Node, realisations: Realisations) -> str:
    """The realisation that a target wants for one node; moves choose by the number of old tokens."""
    if node.op_type in DECISIONS:
        return realisations.match
    if node.op_type in PRODUCTS:
        return "standard"
    operands = padded(node)
    old = {"restore": operands[1], "destinations": None}.get(node.op_type, operands[0])
    return realisations.reduce_for(size(old, 1) if old is not None else int(node.attributes["n"].as_int()))


def padded(node: ir.Node) -> list[ir.Value | None]:
    """A node's operands, with None for optional ones left out at the end."""
    return [*node.inputs, *[None] * (ARITY[node.op_type] - len(node.inputs))]


def build(
    op_type: str,
    realisation: str,
    operands: Sequence[ir.Value | None],
    attributes: Mapping[str, Any],
    half: bool = False,
) -> Any:
    """A body for one call: ``(body, results)``."""
    lowering = {**DECISIONS, **MOVES, **PRODUCTS}[op_type][realisation]
    body = Body(half=half)
    return body, lowering(body, *operands, **attributes)


def _inline(graph: ir.Graph, node: ir.Node, realisation: str, half: bool) -> None:
    body, results = build(node.op_type, realisation, padded(node), _attributes(node), half)
    for i, inner in enumerate(body.nodes):
        inner.name = f"{node.name}.{i}"
        inner.metadata_props.update(node.metadata_props)
        for j, value in enumerate(inner.outputs):
            value.name = f"{node.name}.{i}.{j}"
    graph.insert_after(node, body.nodes)
    for old, new in zip(node.outputs, results, strict=True):
        name = old.name
        old.name = f"{name}.opaque"
        new.name, new.shape = name, old.shape
        new.dtype = _dtype(old, realisation)
        _replace(graph, old, new)
    graph.remove(node, safe=True)


def _dtype(value: ir.Value, realisation: str) -> ir.DataType:
    """Ids are integer-valued fp32 where they are made without integers."""
    assert value.dtype is not None
    return ir.DataType.FLOAT if value.dtype == INT64 and _carries_ids(value, realisation) else value.dtype


def _carries_ids(value: ir.Value, realisation: str) -> bool:
    node = value.producer()
    return realisation in ("sort-free", "one-hot") and node is not None and node.op_type not in ("reduce", "restore")


def _replace(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Let the users of ``old`` read ``new``; users outside the domain still get the dtype they expect."""
    plain = new if new.dtype == old.dtype else None
    for user, index in list(old.uses()):
        if user.domain != DOMAIN and plain is None:
            plain = _as_index(graph, new)
        user.replace_input_with(index, new if user.domain == DOMAIN else plain)
    for index, output in enumerate(graph.outputs):
        if output is old:
            plain = plain or _as_index(graph, new)
            graph.outputs[index] = plain


def _as_index(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """An int64 copy, under the value's name; the value itself is renamed."""
    producer = value.producer()
    assert producer is not None
    name = value.name
    value.name = f"{name}.float"
    output = ir.Value(name=name, shape=value.shape, type=ir.TensorType(INT64))
    cast = ir.node("Cast", [value], {"to": int(INT64)}, outputs=[output], name=f"{name}.cast")
    cast.metadata_props.update(producer.metadata_props)
    graph.insert_after(producer, cast)
    return output


def _attach(model: ir.Model, node: ir.Node, realisation: str, half: bool) -> None:
    formal = [_formal(i, value) for i, value in enumerate(padded(node))]
    node.overload = _overload(node, realisation)
    identifier = (DOMAIN, node.op_type, node.overload)
    for value in node.outputs:
        old, value.dtype = value.dtype, _dtype(value, realisation)
        if value.dtype != old:
            _recast(model.graph, value)
    if identifier in model.functions:
        return
    given = [value if real is not None else None for value, real in zip(formal, padded(node), strict=True)]
    body, results = build(node.op_type, realisation, given, _attributes(node), half)
    _name(body, results)
    inner = ir.Graph(formal, list(results), nodes=body.nodes, opset_imports={"": model.opset_imports[""]})
    attributes = [ir.Attr(name, attribute.type, None) for name, attribute in node.attributes.items()]
    model.functions[identifier] = ir.Function(*identifier, graph=inner, attributes=attributes)


def _recast(graph: ir.Graph, value: ir.Value) -> None:
    """Users outside the domain, and outputs, read an int64 copy of ids carried as floats."""
    outside = [(user, index) for user, index in value.uses() if user.domain != DOMAIN]
    at = [i for i, output in enumerate(graph.outputs) if output is value]
    if outside or at:
        copy = _as_index(graph, value)
        for user, index in outside:
            user.replace_input_with(index, copy)
        for i in at:
            graph.outputs[i] = copy


def _name(body: Body, results: Sequence[ir.Value]) -> None:
    for i, node in enumerate(body.nodes):
        node.name = f"n{i}"
        for j, value in enumerate(node.outputs):
            value.name = f"v{i}.{j}"
    for i, value in enumerate(results):
        value.name = f"out{i}"


def _formal(index: int, value: ir.Value | None) -> ir.Value:
    if value is None:
        return ir.Value(name=f"in{index}")
    return ir.Value(name=f"in{index}", shape=value.shape, type=ir.TensorType(value.dtype) if value.dtype else None)


def _overload(node: ir.Node, realisation: str) -> str:
    """What the body depends on: realisation, static sizes, dtypes, attributes."""
    facts = [realisation]
    for value in padded(node):
        dims = "" if value is None or value.shape is None else "x".join(str(d) for d in value.shape[1:])
        facts.append("none" if value is None or value.dtype is None else f"{value.dtype.name.lower()}[{dims}]")
    facts.extend(f"{name}={value}" for name, value in sorted(_attributes(node).items()))
    return ",".join(facts)


def _attributes(node: ir.Node) -> dict[str, Any]:
    return {name: attribute.value for name, attribute in node.attributes.items()}
