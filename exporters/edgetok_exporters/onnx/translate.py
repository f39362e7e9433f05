"""How ``torch.onnx`` translates what edgetok cares about: its own primitives, attention, reshapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnx.defs import OpSchema
from onnxscript.values import Op, Opset

import edgetok.ops.register as primitives
from edgetok.ops.packed import PACKED_MATMUL
from edgetok_exporters.onnx import attention, scatter
from edgetok_exporters.onnx.functions import DOMAIN

aten = torch.ops.aten
Table = Mapping[Any, Callable[..., Any]]


def table(opset: int) -> dict[Any, Callable[..., Any]]:
    """``custom_translation_table`` of ``torch.onnx.export`` for one opset version."""
    op = Opset("", opset)
    reshape = _reshape(op)
    return {
        aten.scaled_dot_product_attention.default: attention.translation(op),
        aten.reshape.default: reshape,
        aten.view.default: reshape,
        aten._unsafe_view.default: reshape,
        aten.mean.dim: _mean(op),
        aten.scatter_reduce.two: scatter.translation(op),
        **opaque(),
    }


def opaque() -> dict[Any, Callable[..., Any]]:
    """Every primitive as one node of domain ``edgetok``, with its numbers and words as attributes."""
    match = _node(primitives.BIPARTITE_MATCH)
    select, reduce = _node(primitives.SELECT_TOP), _node(primitives.REDUCE)
    rank, among = _node(primitives.RANK_TOP), _node(primitives.MATCH_AMONG)
    destinations, restore = _node(primitives.DESTINATIONS), _node(primitives.RESTORE)
    compose, packed = _node(primitives.COMPOSE), _node(PACKED_MATMUL)

    def bipartite_match(metric: Any, sizes: Any, r: int, protected: int, order: str) -> Any:
        return match(metric, sizes, r=r, protected=protected, order=order)

    return {
        primitives.BIPARTITE_MATCH: bipartite_match,
        primitives.SELECT_TOP: lambda scores, k, protected: select(scores, k=k, protected=protected),
        primitives.RANK_TOP: lambda scores, k, protected: rank(scores, k=k, protected=protected),
        primitives.MATCH_AMONG: lambda metric, sizes, sources, targets, r: among(metric, sizes, sources, targets, r=r),
        primitives.REDUCE: lambda x, sizes, keep, src, dst, mode: reduce(x, sizes, keep, src, dst, mode=mode),
        primitives.DESTINATIONS: lambda keep, src, dst, n: destinations(keep, src, dst, n=n),
        primitives.RESTORE: lambda y, dest, dropped: restore(y, dest, dropped),
        primitives.COMPOSE: lambda first, second: compose(first, second),
        PACKED_MATMUL: lambda x, codes, scale, zero, bits, columns, group: packed(
            x, codes, scale, zero, bits=bits, columns=columns, group=group
        ),
    }


def _node(overload: Any) -> Op:
    """The ONNX operator of a primitive, with the schema that torch knows: tensors are inputs, the rest attributes."""
    parameter = OpSchema.FormalParameter
    option = OpSchema.FormalParameterOption
    kinds = {"int": OpSchema.AttrType.INT, "str": OpSchema.AttrType.STRING}
    schema = overload._schema
    inputs: list[Any] = []
    attributes: list[Any] = []
    outputs: list[Any] = []
    types: dict[str, list[str]] = {}
    any_type = [f"tensor({name})" for name in ("float", "float16", "double", "int64", "int32", "uint8", "bool")]
    for argument in schema.arguments:
        if str(argument.type) in kinds:
            attributes.append(OpSchema.Attribute(argument.name, kinds[str(argument.type)], required=True))
            continue
        optional = option.Optional if "Optional" in str(argument.type) else option.Single
        types[f"T{len(types)}"] = any_type
        inputs.append(parameter(argument.name, f"T{len(inputs)}", param_option=optional))
    for i, result in enumerate(schema.returns):
        types[f"R{i}"] = any_type
        outputs.append(parameter(result.name or f"y{i}", f"R{i}"))
    name = schema.name.removeprefix(f"{DOMAIN}::")
    constraints = [(symbol, allowed, "") for symbol, allowed in types.items()]
    made = OpSchema(
        name, DOMAIN, 1, "", inputs=inputs, outputs=outputs, attributes=attributes, type_constraints=constraints
    )
    return Op(Opset(DOMAIN, 1), name, made)


def _reshape(op: Any) -> Callable[..., Any]:
    def reshape(x: Any, shape: Any) -> Any:
        """With one symbolic size, as a constant shape: onnxruntime then knows the others."""
        sizes = [size if isinstance(size, int) else -1 for size in shape]
        if sizes.count(-1) <= 1 and 0 not in sizes:
            return op.Reshape(x, op.Constant(value_ints=sizes))
        one = op.Constant(value_ints=[1])
        sizes = [op.Constant(value_ints=[size]) if isinstance(size, int) else op.Reshape(size, one) for size in shape]
        return op.Reshape(x, op.Concat(*sizes, axis=0))

    return reshape


def _mean(op: Any) -> Callable[..., Any]:
    def mean(x: Any, dim: Any, keepdim: bool = False, dtype: int = -1) -> Any:
        """Over constant axes, so that later passes can read them."""
        axes = [op.Constant(value_ints=list(dim))] if dim else []
        return op.ReduceMean(x if dtype in (-1, None) else op.Cast(x, to=dtype), *axes, keepdims=int(keepdim))

    return mean
