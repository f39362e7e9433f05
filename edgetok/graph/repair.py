"""What each kind of operation needs when its token axis has changed.

Operations that treat tokens alike run as they are on the newest version. Sizes among their arguments are recomputed
from labels. Attention weighs tokens by what they stand for. Everything else gets the original tokens back first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from edgetok.graph.arrange import Axes, Size, Unplaceable, spread
from edgetok.graph.labels import op_name
from edgetok.graph.rules.attention import mask_of
from edgetok.graph.rules.layout import arg, positive
from edgetok.graph.rules.reduction import reduced_dims
from edgetok.graph.rules.segments import slice_bounds
from edgetok.graph.space import Occurrence, Space
from edgetok.graph.state import SpaceState

if TYPE_CHECKING:
    from edgetok.graph.retrace import Retrace, Value, Walk

aten = torch.ops.aten

_ALIKE = frozenset(
    """add sub mul div pow rsub maximum minimum fmod remainder where masked_fill clamp clamp_min clamp_max
    eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_not __and__ __or__
    abs neg exp expm1 log log1p log2 sqrt rsqrt reciprocal square sin cos tan tanh sigmoid erf floor ceil round trunc
    sign relu relu6 gelu silu mish elu leaky_relu celu selu hardtanh hardswish hardsigmoid softplus logsigmoid prelu
    clone alias detach contiguous to _to_copy type_as copy nan_to_num zeros_like ones_like full_like fill
    layer_norm rms_norm native_layer_norm linear matmul bmm mm addmm baddbmm einsum embedding
    softmax _softmax log_softmax _log_softmax _safe_softmax cumsum
    reshape view _unsafe_view flatten unflatten transpose swapaxes permute t mT unsqueeze squeeze expand select unbind
    cat concat stack split split_with_sizes chunk slice narrow
    mean sum amax amin any all prod argmax argmin linalg_vector_norm var std var_mean max min logsumexp
    topk sort argsort scaled_dot_product_attention""".split()
)
"""Operations that may run on fewer tokens, as long as the token axis is not one they work along."""

_SHAPED = frozenset({"reshape", "view", "_unsafe_view", "expand", "flatten", "unflatten"})


def visit(walk: Walk, node: fx.Node) -> Any:
    """Run one operation with its operands and arguments repaired."""
    restored = {s.space.index for s in _states(walk, node) if needs_whole(node, walk, s.space)}
    values = {a: _restored(walk, walk.values[a], restored) for a in _tensor_inputs(walk, node)}
    versions = _newest(values.values())
    handler = _HANDLERS.get(op_name(node), _plain)
    return handler(walk, node, values, versions)


def _tensor_inputs(walk: Walk, node: fx.Node) -> list[fx.Node]:
    from edgetok.graph.retrace import Value

    return [a for a in node.all_input_nodes if isinstance(walk.values[a], Value)]


def _states(walk: Walk, node: fx.Node) -> list[SpaceState]:
    indices = {i for a in _tensor_inputs(walk, node) for i in walk.values[a].versions}
    return [walk.states[i] for i in sorted(indices)]


def _restored(walk: Walk, value: Value, indices: set[int]) -> Value:
    for index in indices & set(value.versions):
        value = walk.restore(value, index)
    return value


def _newest(values: Any) -> dict[int, int]:
    out: dict[int, int] = {}
    for value in values:
        for index, version in value.versions.items():
            out[index] = max(version, out.get(index, 0))
    return out


def needs_whole(node: fx.Node, walk: Walk | Retrace, space: Space) -> bool:
    """Whether an operation needs every original token of a space: it works along the token axis, or pulls it apart."""
    labels = walk.labels
    name = op_name(node)
    for source in node.all_input_nodes:
        if not labels.has(source):
            continue
        for where in space.occurrences(labels.axes(source)):
            if name not in _ALIKE or _works_along(node, name, source, where, labels.axes(source)):
                return True
            if name in _SHAPED and not _still_there(labels.outputs(node)[0], space, where):
                return True
    return False


def _still_there(axes: Axes, space: Space, where: Occurrence) -> bool:
    return any((o.first, o.last) == (where.first, where.last) for o in space.occurrences(axes))


def _works_along(node: fx.Node, name: str, source: fx.Node, where: Occurrence, axes: Axes) -> bool:
    rank, at = len(axes), where.axis
    if name in ("mean", "sum", "amax", "amin"):
        return at in reduced_dims(node, rank) and where.stop - where.start != len(axes[at])
    if name in ("any", "all", "prod", "argmax", "argmin", "linalg_vector_norm", "var", "std", "var_mean", "logsumexp"):
        return at in reduced_dims(node, rank)
    if name == "unbind":
        return positive(arg(node, 1, "dim", 0), rank) == at
    if name in ("max", "min", "topk", "sort", "argsort", "cumsum", "softmax", "_softmax", "log_softmax"):
        dims = node.args[2 if name == "topk" else 1 : 3 if name == "topk" else 2]
        return len(node.all_input_nodes) == 1 and (not dims or positive(dims[0], rank) == at)
    if name == "scaled_dot_product_attention":
        return source is node.args[1] and at == rank - 2 and where.stop - where.start != len(axes[at])
    if name in ("slice", "narrow"):
        dim, _, _, step = slice_bounds(node, (1,) * rank)
        return dim == at and (step != 1 or len(axes[at]) > 1)
    if name in ("select", "split", "split_with_sizes", "chunk"):
        dim = arg(node, 1, "dim") if name == "select" else arg(node, 2, "dim", 0)
        return positive(dim, rank) == at and len(axes[at]) > 1
    if name in ("linear", "layer_norm", "rms_norm", "native_layer_norm"):
        return source is node.args[0] and at >= rank - (len(node.args[1]) if "norm" in name else 1)  # type: ignore[arg-type]
    if name in ("matmul", "bmm", "mm", "addmm", "baddbmm"):
        first = node.args[1 if name in ("addmm", "baddbmm") else 0]
        return at == (rank - 1 if source is first else max(rank - 2, 0))
    return name == "einsum"


def _run(walk: Walk, node: fx.Node, values: Mapping[fx.Node, Value], versions: Mapping[int, int], consumer: Axes) -> Callable[[Any], Any]:
    """A function that replaces nodes in arguments by tensors of the newest version."""

    def tensor(a: fx.Node) -> Any:
        if a not in values:
            return walk.tensor(walk.values[a])
        held = values[a]
        if held is not walk.values[a]:
            return held.tensor
        return walk.advance(a, versions, consumer).tensor

    return lambda args: fx.map_arg(args, tensor)


def _plain(walk: Walk, node: fx.Node, values: Mapping[fx.Node, Value], versions: Mapping[int, int]) -> Any:
    consumer = walk.labels.outputs(node)[0]
    replace = _run(walk, node, values, versions, consumer)
    out = node.target(*replace(node.args), **replace(dict(node.kwargs)))  # type: ignore[operator]
    return _wrap(walk, node, out, versions)


def _wrap(walk: Walk, node: fx.Node, out: Any, versions: Mapping[int, int]) -> Any:
    from edgetok.graph.retrace import Value

    def value(tensor: Tensor, axes: Axes) -> Value:
        return Value(tensor, axes, {i: v for i, v in versions.items() if walk.states[i].space.carried_by(axes)})

    outputs = walk.labels.outputs(node)
    if isinstance(out, Tensor):
        return value(out, outputs[0])
    return [value(t, axes) for t, axes in zip(out, outputs, strict=True)]


def _shaped(walk: Walk, node: fx.Node, values: Mapping[fx.Node, Value], versions: Mapping[int, int]) -> Any:
    """Reshape or expand: the sizes are those of the labels."""
    if not versions:
        return _plain(walk, node, values, versions)
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    axes = walk.labels.axes(node)
    sizes = walk.shape(axes, versions)
    tensor = _run(walk, node, values, versions, walk.labels.axes(source))(source)
    out = aten.expand.default(tensor, sizes) if op_name(node) == "expand" else aten.reshape.default(tensor, sizes)
    return _wrap(walk, node, out, versions)


def _split(walk: Walk, node: fx.Node, values: Mapping[fx.Node, Value], versions: Mapping[int, int]) -> Any:
    """Split: the sizes are those of the labels of the pieces."""
    if not versions:
        return _plain(walk, node, values, versions)
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    rank = len(walk.labels.axes(source))
    dim = positive(arg(node, 2, "dim", 0), rank)
    pieces = [_along(walk, axes, dim, versions, v.shape[dim]) for axes, v in zip(walk.labels.outputs(node), node.meta["val"], strict=True)]
    tensor = _run(walk, node, values, versions, walk.labels.axes(source))(source)
    return _wrap(walk, node, aten.split_with_sizes.default(tensor, pieces, dim), versions)


def _along(walk: Walk, axes: Axes, dim: int, versions: Mapping[int, int], otherwise: Any) -> Size:
    return walk.measure(axes[dim], versions) if axes[dim] else otherwise


def _slice(walk: Walk, node: fx.Node, values: Mapping[fx.Node, Value], versions: Mapping[int, int]) -> Any:
    """Slice: a window of segments is where those segments are now."""
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    dim, start, stop, step = slice_bounds(node, walk.labels.symbols.sizes(source.meta["val"].shape))
    moved = _moves(walk, walk.labels.axes(source)[dim], versions)
    if moved is None:
        return _plain(walk, node, values, versions)
    if step != 1:
        raise AssertionError("a strided slice of tokens restores them first")
    tensor = _run(walk, node, values, versions, walk.labels.axes(source))(source)
    return _wrap(walk, node, aten.slice.Tensor(tensor, dim, moved(start), moved(stop)), versions)


def _select(walk: Walk, node: fx.Node, values: Mapping[fx.Node, Value], versions: Mapping[int, int]) -> Any:
    """Select: a protected token is where its segment is now."""
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    axes = walk.labels.axes(source)
    dim = positive(node.args[1], len(axes))
    moved = _moves(walk, axes[dim], versions)
    if moved is None:
        return _plain(walk, node, values, versions)
    size = walk.labels.symbols.size(source.meta["val"].shape[dim])
    tensor = _run(walk, node, values, versions, axes)(source)
    return _wrap(walk, node, aten.select.int(tensor, dim, moved(int(node.args[2]) % size)), versions)  # type: ignore[call-overload]


def _moves(walk: Walk, axis: Any, versions: Mapping[int, int]) -> Callable[[int], int] | None:
    """Where an offset on a token axis is now, for offsets at segment boundaries; ``None``: nothing moved."""
    for index, version in versions.items():
        state = walk.states[index]
        for where in state.space.occurrences((axis,)):
            before = state.versions[0].sizes[where.first : where.last]
            shrunk = sum(before) - state.tokens(where, version)
            end = sum(before[: state.space.main - where.first + 1])
            return lambda offset, e=end, s=shrunk: offset - s if offset >= e else offset  # type: ignore[misc]
    return None


def _average(walk: Walk, node: fx.Node, values: Mapping[fx.Node, Value], versions: Mapping[int, int]) -> Any:
    """Mean, sum, max and min over tokens, as if every original token were there."""
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    axes = walk.labels.axes(source)
    dims = reduced_dims(node, len(axes))
    for index, version in versions.items():
        state = walk.states[index]
        for where in state.space.occurrences(axes):
            if where.axis in dims:
                return _weighted(walk, node, values, state, where, version)
    return _plain(walk, node, values, versions)


def _weighted(walk: Walk, node: fx.Node, values: Mapping[fx.Node, Value], state: SpaceState, where: Occurrence, version: int) -> Any:
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    held, name = values[source], op_name(node)
    index = state.space.index
    weights = state.weights_for(where, version)
    exact = not state.drops and not state.padded and weights is not None
    if exact and name in ("amax", "amin"):
        return _plain(walk, node, values, {k: v for k, v in held.versions.items()})
    try:
        if not exact or name not in ("mean", "sum") or weights is None:
            raise Unplaceable
        factor = spread(weights, held.axes, where, state.batch)
    except Unplaceable:
        whole = {**values, source: walk.restore(held, index)}
        return _plain(walk, node, whole, _newest(whole.values()))
    scale = weights.shape[1] / state.tokens(where, 0) if name == "mean" else 1.0
    weighted = held.tensor * (factor if scale == 1.0 else factor * scale)
    replaced = fx.map_arg(node.args, lambda a: weighted if a is source else walk.tensor(walk.values[a]))
    return _wrap(walk, node, node.target(*replaced, **node.kwargs), held.versions)  # type: ignore[operator, arg-type]


def _attention(walk: Walk, node: fx.Node, values: Mapping[fx.Node, Value], versions: Mapping[int, int]) -> Any:
    """Attention: keys are weighed by what they stand for; masks follow the tokens."""
    query, key, value = node.args[:3]
    operand = mask_of(node)
    versions = _newest(v for n, v in values.items() if n in (query, key, value))
    lead, rows = walk.labels.axes(node)[:-2], walk.labels.axes(query)[-2]  # type: ignore[arg-type]
    scores: Axes = (*lead, rows, walk.labels.axes(key)[-2])  # type: ignore[arg-type]
    tensors = [
        _run(walk, node, values, versions, (*lead, walk.labels.axes(a)[-2], walk.labels.axes(a)[-1]))(a)  # type: ignore[arg-type]
        for a in (query, key, value)
    ]
    mask = _mask(walk, node, operand, versions, scores)
    kwargs = {k: v for k, v in node.kwargs.items() if k != "attn_mask"}
    rest = walk._plain(node.args[4:])
    out = aten.scaled_dot_product_attention.default(*tensors, mask, *rest, **kwargs)
    return _wrap(walk, node, out, versions)


def _mask(walk: Walk, node: fx.Node, operand: fx.Node | None, versions: Mapping[int, int], scores: Axes) -> Tensor | None:
    biases, covered = [], False
    for index, version in versions.items():
        state = walk.states[index]
        for where in (o for o in state.space.occurrences(scores) if o.axis == len(scores) - 1):
            bias = state.bias(version)
            covered = covered or (state.padded and walk.plan.masks[node].kind == "padding")
            if bias is not None:
                start = state.start(where)
                biases.append(_score_shape(bias[:, start : start + state.tokens(where, version)], scores, state, walk))
    given = None
    if operand is not None and not (covered and not walk.plan.masks[node].additive):
        given = _additive(walk.advance(operand, versions, scores, how="first").tensor, biases)
    for bias in biases:
        given = bias if given is None else given + bias
    return given


def _additive(mask: Tensor, biases: list[Tensor]) -> Tensor:
    if mask.dtype != torch.bool or not biases:
        return mask
    zero = torch.zeros((), dtype=biases[0].dtype, device=mask.device)
    return torch.where(mask, zero, torch.finfo(biases[0].dtype).min / 2)


def _score_shape(bias: Tensor, scores: Axes, state: SpaceState, walk: Walk) -> Tensor:
    """``(batch, tokens)`` shaped to broadcast against attention scores, also where heads are folded into the batch."""
    batch = {f.id for f in state.batch}
    lead: list[Size] = []
    wide = bias
    for axis in scores[:-2]:
        inside = [f.id in batch for f in axis]
        if any(inside) and not all(inside):
            ones: list[Size] = [walk.measure((f,)) if hit else 1 for f, hit in zip(axis, inside, strict=True)]
            full = [walk.measure((f,)) for f in axis]
            wide = wide.reshape([*ones, bias.shape[1]]).expand([*full, bias.shape[1]]).reshape(-1, bias.shape[1])
            lead.append(wide.shape[0])
        else:
            lead.append(bias.shape[0] if any(inside) else 1)
    return wide.reshape([*lead, 1, bias.shape[1]])


_HANDLERS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_SHAPED, _shaped),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), _split),
    **dict.fromkeys(("slice", "narrow"), _slice),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _average),
    "select": _select,
    "scaled_dot_product_attention": _attention,
}


def exit_of(plan: Retrace, space: Space) -> fx.Node | None:
    """Where the residual stream of a space ends: the last add of two values that carry its features."""
    found = None
    for node in plan.program.graph.nodes:
        if op_name(node) != "add" or node not in plan.features or not plan.labels.has(node):
            continue
        inputs = [a for a in node.all_input_nodes if a in plan.features and plan.labels.has(a)]
        if len(inputs) == 2 and all(space.carried_by(plan.labels.axes(a)) for a in [node, *inputs]):
            found = node
    return found


def needs_all_tokens(plan: Retrace, node: fx.Node, space: Space) -> bool:
    """Whether anything after ``node`` uses the tokens other than one by one or through protected ones."""
    stack, seen = [node], {node}
    while stack:
        for user in stack.pop().users:
            if user.op == "output":
                return True
            if user in seen or not plan.labels.outputs(user):
                continue
            seen.add(user)
            if needs_whole(user, plan, space) or op_name(user) in ("mean", "sum", "amax", "amin"):
                return True
            if any(space.carried_by(axes) for axes in plan.labels.outputs(user)):
                stack.append(user)
    return False
