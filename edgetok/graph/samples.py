"""Batch factors whose entries are samples of their own, such as the channels of a time series.

Each entry may have a map of its own if, on values of tokens after a reduction, no operation mixes, picks or reorders
entries. That is shown operation by operation, from a list of those that are known to keep entries apart: labels alone
do not show it, as an axis that keeps its size through ``index_select`` or ``pad`` keeps its factors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from edgetok.graph import factors
from edgetok.graph.nodes import argument, names, op_name, positive
from edgetok.graph.rules.elementwise import ELEMENTWISE
from edgetok.graph.rules.reduction import REDUCTIONS, SEVERAL, is_of_two, reduced_dims, sorted_dim
from edgetok.graph.rules.segments import slice_bounds

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.factors import Axis, Factor
    from edgetok.graph.labels import Labels
    from edgetok.graph.space import Space

Held = Mapping["fx.Node", int]
"""Operands that carry the tokens and the factor, and the one axis of each that holds it."""
Check = Callable[["fx.Node", Held, "Labels"], bool]

_CHECKS: dict[str, Check] = {}


def is_sample(factor: Factor, after: Iterable[fx.Node], space: Space, spaces: Iterable[Space], labels: Labels) -> bool:
    """Whether the entries of a batch factor are samples of their own.

    They are if no attention is over that axis and every operation on values of tokens after a reduction is known to
    keep them apart and in order. What is not known is taken to mix them.

    Args:
        factor: a whole axis of an input; what is a part of one is a window or a frame.
        after: all that follows the reduction.
        space: what is reduced.
        spaces: all spaces of the program.
        labels: of its nodes.
    """
    if any(factor.id in factors.ids(other.axis) for other in spaces):
        return False
    return all(_keeps_apart(node, factor, space, labels) for node in after)


def _keeps_apart(node: fx.Node, factor: Factor, space: Space, labels: Labels) -> bool:
    inputs = {a: labels.axes(a) for a in node.all_input_nodes if labels.has(a)}
    places = {a: _places(axes, factor) for a, axes in inputs.items() if space.carried_by(axes)}
    held = {a: found for a, found in places.items() if found}
    if not held or op_name(node) in _SIZES:
        return True
    outputs = [_places(axes, factor) for axes in labels.outputs(node)[: 1 if op_name(node) in _STATISTICS else None]]
    if not outputs or any(len(found) != 1 for found in [*held.values(), *outputs]):
        return False
    check = _CHECKS.get(op_name(node))
    return check is not None and check(node, {a: found[0] for a, found in held.items()}, labels)


def _places(axes: Sequence[Axis], factor: Factor) -> list[int]:
    """The axes that hold a factor, once for each time."""
    return [i for i, axis in enumerate(axes) for found in factors.ids(axis) if found == factor.id]


_SIZES = names("sym_size sym_numel sym_stride _assert_tensor_metadata")
"""What reads a tensor's form and none of its values."""
_STATISTICS = names("_native_batch_norm_legit_no_training")
"""What gives empty statistics beside its result."""


def _check(*ops: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        _CHECKS.update(dict.fromkeys(ops, function))
        return function

    return register


def _only(*allowed: int) -> Check:
    return lambda _, held, __: all(place in allowed for place in held.values())


def _rank(node: fx.Node) -> int:
    return int(node.meta["val"].dim())


def _dim_differs(node: fx.Node, held: Held, dim: object) -> bool:
    return all(place != positive(dim, _rank(a)) for a, place in held.items())


@_check(
    *ELEMENTWISE,
    *names(
        """view _unsafe_view reshape flatten unflatten _reshape_copy view_copy transpose swapaxes t mT permute
        unsqueeze squeeze expand expand_as broadcast_to stack _native_batch_norm_legit_no_training"""
    ),
)
def _anywhere(node: fx.Node, held: Held, labels: Labels) -> bool:
    """Entries of an output are made of those at the same place; axes that meet elsewhere hold the factor twice."""
    return True


_CHECKS["batch_norm"] = lambda node, _, __: argument(node, 5, "training") is False
_CHECKS["group_norm"] = _only(0)
_CHECKS["instance_norm"] = _only(0, 1)
_CHECKS.update(
    dict.fromkeys(
        names(
            """edgetok::bipartite_match edgetok::match_among edgetok::select_top edgetok::rank_top edgetok::reduce
            edgetok::destinations edgetok::restore edgetok::compose"""
        ),
        _only(0),
    )
)


@_check("linear")
def _linear(node: fx.Node, held: Held, labels: Labels) -> bool:
    return set(held) <= {node.args[0]} and all(place < _rank(a) - 1 for a, place in held.items())


@_check("matmul", "mm", "bmm", "addmm", "baddbmm")
def _product(node: fx.Node, held: Held, labels: Labels) -> bool:
    left, right = node.args[-2:]
    return held.get(left, -1) != _last(left, 1) and held.get(right, -1) != _last(right, 2)  # type: ignore[arg-type]


def _last(node: object, n: int) -> int:
    rank = _rank(node)  # type: ignore[arg-type]
    return max(rank - n, 0)


@_check("scaled_dot_product_attention")
def _attention(node: fx.Node, held: Held, labels: Labels) -> bool:
    """In the first axis, where the bias of merged tokens has its batch."""
    return all(place == 0 and _rank(a) > 2 for a, place in held.items())


@_check("layer_norm", "rms_norm")
def _norm(node: fx.Node, held: Held, labels: Labels) -> bool:
    normalised = len(argument(node, 1, "normalized_shape"))
    return set(held) <= {node.args[0]} and all(place < _rank(a) - normalised for a, place in held.items())


@_check("softmax", "_softmax", "log_softmax", "_log_softmax", "_safe_softmax", "cumsum", "unbind", "select", "cat")
def _second(node: fx.Node, held: Held, labels: Labels) -> bool:
    return _dim_differs(node, held, argument(node, 1, "dim", 0))


@_check("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk")
def _third(node: fx.Node, held: Held, labels: Labels) -> bool:
    return _dim_differs(node, held, argument(node, 2, "dim", 0))


@_check("slice")
def _slice(node: fx.Node, held: Held, labels: Labels) -> bool:
    ((source, place),) = held.items()
    sizes = labels.symbols.sizes(source.meta["val"].shape)
    dim, start, stop, step = slice_bounds(node, sizes)
    return place != dim or (start, stop, step) == (0, sizes[dim], 1)


@_check(*REDUCTIONS, *SEVERAL)
def _reduction(node: fx.Node, held: Held, labels: Labels) -> bool:
    if op_name(node) in SEVERAL and is_of_two(node):
        return True
    return all(place not in reduced_dims(node, _rank(a)) for a, place in held.items())


@_check("topk", "sort", "argsort")
def _sorted(node: fx.Node, held: Held, labels: Labels) -> bool:
    return all(place != sorted_dim(node, _rank(a)) for a, place in held.items())
