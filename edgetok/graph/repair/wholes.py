"""Which operations need every original token: those that work along the token axis, or pull it apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import fx

from edgetok.graph.arrange import Axes
from edgetok.graph.dependence import meets_positions
from edgetok.graph.nodes import argument, mask_of, names, op_name, positive
from edgetok.graph.rules.reduction import reduced_dims, sorted_dim
from edgetok.graph.rules.segments import slice_bounds

if TYPE_CHECKING:
    from edgetok.graph.retrace import Walk
    from edgetok.graph.space import Occurrence
    from edgetok.graph.state import SpaceState

_AVERAGES = names("mean sum amax amin")
AVERAGING = _AVERAGES | names("any all prod argmax argmin linalg_vector_norm var std var_mean logsumexp")
_SORTS = names("topk sort argsort")
_ALONG = names("cumsum softmax _softmax log_softmax _log_softmax _safe_softmax")
_SPLITS = names("split split_with_sizes chunk")
_NORMS = names("layer_norm rms_norm native_layer_norm")
_CHANNEL_NORM = "_native_batch_norm_legit_no_training"
"""Of running statistics, one each for the entries of axis 1: it treats all others alike."""

_PRODUCTS = {"matmul": 0, "bmm": 0, "mm": 0, "addmm": 1, "baddbmm": 1}
"""Matrix products, with the position of their first factor."""

_ONE_BY_ONE = names(
    """add sub mul div pow rsub maximum minimum fmod remainder where masked_fill clip clamp clamp_min clamp_max
    eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_not
    __and__ __or__ abs neg exp expm1 log log1p log2 sqrt rsqrt reciprocal square sin cos tan tanh sigmoid erf
    floor ceil round trunc sign relu relu6 gelu silu mish elu leaky_relu celu selu hardtanh hardswish hardsigmoid
    softplus logsigmoid prelu clone alias detach contiguous to _to_copy type_as copy nan_to_num zeros_like
    isnan isinf isfinite floor_divide addcmul addcdiv lerp atan atan2 sinh cosh erfc logaddexp bitwise_xor frac
    threshold ones_like full_like fill linear einsum embedding max min reshape view _unsafe_view flatten unflatten
    edgetok::packed_matmul
    transpose swapaxes permute t mT unsqueeze squeeze expand select unbind cat concat stack slice
    scaled_dot_product_attention"""
)
_ALIKE = _ONE_BY_ONE.union(AVERAGING, _SORTS, _ALONG, _SPLITS, _NORMS, _PRODUCTS, (_CHANNEL_NORM,))
"""Operations that may run on fewer tokens, as long as the token axis is not one they work along."""


_TOKEN_WISE = (_ONE_BY_ONE - names("max min einsum embedding")) | _SPLITS | _NORMS | names("getitem")


def is_one_by_one(node: fx.Node) -> bool:
    """Whether an operation whose result has all tokens treats them alike, as far as its name tells."""
    return op_name(node) in _TOKEN_WISE | AVERAGING


def needs_whole(walk: Walk, node: fx.Node, state: SpaceState) -> bool:
    """Whether an operation needs every original token of a space."""
    labels, name = walk.labels, op_name(node)
    mask = mask_of(node) if node in walk.plan.masks else None
    inputs = [a for a in node.all_input_nodes if a is not mask and labels.has(a)]
    carriers = [a for a in inputs if state.space.carried_by(labels.axes(a))]
    if carriers and (name not in _ALIKE or node in labels.conflicts):
        return True
    return _is_read_by_place(walk, node, state) or any(_disturbs(walk, node, source, state) for source in carriers)


def _is_read_by_place(walk: Walk, node: fx.Node, state: SpaceState) -> bool:
    """Whether features meet a table with an entry per token after the last attention over them.

    Before an attention the representative's entry stands for a merged token, as rotations and biases do; in a head that
    weighs tokens by their place, every original token has its own.
    """
    plan, space = walk.plan, state.space
    if node in plan.attended[space.index] or node in plan.masks:
        return False
    return meets_positions(node, space, walk.labels, plan.features)


def _disturbs(walk: Walk, node: fx.Node, source: fx.Node, state: SpaceState) -> bool:
    axes = walk.labels.axes(source)
    batch = {f.id for f in state.batch}
    for i, axis in enumerate(axes):
        if any(f.id in batch for f in axis) and _works_along(node, source, i, len(axes)):
            return True
    kept = []
    for where in state.space.occurrences(axes):
        if not _works_along(node, source, where.axis, len(axes)):
            kept.append(where)
        elif where.stop - where.start != len(axes[where.axis]) or not _has_handler(walk, node, axes, where, state):
            return True
    return bool(kept) and not any(_keeps(out, kept, state) for out in walk.labels.outputs(node))


def _keeps(out: Axes, kept: Sequence[Occurrence], state: SpaceState) -> bool:
    """Whether an output still has the tokens of all occurrences, alone on their axes, and their batch just once."""
    found = state.space.occurrences(out)
    inside = [sum(o.first <= where.first and where.last <= o.last for o in found) for where in kept]
    present = [f.id for axis in out for f in axis]
    one_batch = all(present.count(f.id) == 1 for f in state.batch)
    return min(inside) >= len(kept) and len({o.axis for o in found}) == len(found) and one_batch


def _has_handler(walk: Walk, node: fx.Node, axes: Axes, where: Occurrence, state: SpaceState) -> bool:
    """Whether there is a way to work along a token axis with fewer tokens that gives what all of them would."""
    name = op_name(node)
    if name in _AVERAGES:
        dims = reduced_dims(node, len(axes))
        spaces = {s.space.index: s.space for s in walk.carried(axes)}
        return sum(o.axis in dims for space in spaces.values() for o in space.occurrences(axes)) == 1
    if name == "slice":
        bounds = argument(node, 2, "start"), argument(node, 3, "end"), argument(node, 4, "step", 1)
        return bounds[2] == 1 and not any(isinstance(b, fx.Node) for b in bounds)
    if name == "select":
        return isinstance(argument(node, 2, "index"), int)
    if name == "scaled_dot_product_attention":
        return where.axis == len(axes) - 2 and _mask_follows(walk, node, state)
    return name in _SPLITS


def _mask_follows(walk: Walk, node: fx.Node, state: SpaceState) -> bool:
    """Whether an attention's mask still means the same when its keys are merged or dropped."""
    mask = walk.plan.masks[node]
    if state.padded:
        return mask.kind == "padding" and mask.source == state.padding
    return mask.kind in ("none", "bias")


def _works_along(node: fx.Node, source: fx.Node, at: int, rank: int) -> bool:
    """Whether an operation mixes, contracts or picks entries along axis ``at`` of an operand."""
    name = op_name(node)
    if name in AVERAGING or (name in ("max", "min") and not _is_elementwise(node)):
        return at in reduced_dims(node, rank)
    if name in _SORTS:
        return at == sorted_dim(node, rank)
    if name in _ALONG or name == "select":
        return at == positive(argument(node, 1, "dim"), rank)
    if name == "unbind":
        return at == positive(argument(node, 1, "dim", 0), rank)
    if name in _SPLITS:
        return at == positive(argument(node, 2, "dim", 0), rank)
    if name == "slice":
        return at == slice_bounds(node, (1,) * rank)[0]
    return _contracts(node, name, source, at, rank)


def _contracts(node: fx.Node, name: str, source: fx.Node, at: int, rank: int) -> bool:
    if name == "scaled_dot_product_attention":
        query, key, value = node.args[:3]
        return (at == rank - 2 and source in (key, value)) or (at == rank - 1 and source in (query, key))
    if name in _NORMS:
        return source is not node.args[0] or at >= rank - len(argument(node, 1, "normalized_shape"))
    if name == _CHANNEL_NORM:
        return source is not node.args[0] or at == 1
    if name in ("linear", "edgetok::packed_matmul"):
        return source is not node.args[0] or at == rank - 1
    if name == "embedding":
        return source is node.args[0]
    if name in _PRODUCTS:
        first, second = node.args[_PRODUCTS[name] :][:2]
        return (source is first and at == rank - 1) or (source is second and at == max(rank - 2, 0))
    return name == "einsum"


def _is_elementwise(node: fx.Node) -> bool:
    return len(node.args) > 1 and isinstance(node.args[1], fx.Node)
