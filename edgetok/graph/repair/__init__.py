"""What each kind of operation needs when its token axis has changed.

Operations that treat tokens alike run as they are on the newest version. Sizes among their arguments are recomputed
from labels. Attention weighs tokens by what they stand for. Everything else gets the original tokens back first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgetok.errors import RepairFailed
from edgetok.graph.nodes import op_name, operand
from edgetok.graph.repair import attention, reductions, shapes
from edgetok.graph.repair.operation import Operation
from edgetok.graph.repair.wholes import needs_whole
from edgetok.graph.transport import Value, refilled, restored

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.retrace import Walk

_HANDLERS: dict[str, Callable[[Operation], Any]] = {
    **dict.fromkeys(("reshape", "view", "_unsafe_view", "flatten", "unflatten"), shapes.reshape),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), shapes.split),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), reductions.average),
    "expand": shapes.expand,
    "slice": shapes.slice_,
    "select": shapes.select,
    "scaled_dot_product_attention": attention.attention,
}


def visit(walk: Walk, node: fx.Node, keep: frozenset[int] = frozenset()) -> Any:
    """Run one operation with its operands and arguments repaired.

    Args:
        walk: the walk, with values for all operands.
        node: the operation.
        keep: spaces whose original tokens are wanted whatever the operation needs.

    Returns:
        A ``Value``, or a list of them for several outputs.
    """
    entered = _entered(walk, node, keep)
    inputs = [a for a in node.all_input_nodes if isinstance(walk.values[a], Value)]
    reduced = {index for a in inputs for index in walk.values[a].versions if index not in entered}
    wanted = keep | {i for i in reduced if walk.states[i].scope or needs_whole(walk, node, walk.states[i])}
    operation = Operation(walk, node, {a: whole(walk, a, wanted) for a in inputs}, entered)
    return _HANDLERS.get(op_name(node), Operation.plain)(operation)


def _entered(walk: Walk, node: fx.Node, keep: frozenset[int]) -> dict[int, int]:
    """The version that operands of a node within a scope are taken to; none where it needs all tokens."""
    state = walk.opened(node)
    if state is None or state.index in keep or needs_whole(walk, node, state):
        return {}
    return {state.index: 1}


def whole(walk: Walk, node: fx.Node, indices: frozenset[int]) -> Value:
    """A node's value with all original tokens of some spaces.

    Merged tokens all get the value of the token they became. Dropped tokens get the value they had on the residual
    stream when they were dropped; what is computed from the stream token by token is computed again for all tokens.
    What one attention alone dropped takes nothing from it: its result is 0 there.

    Raises:
        RepairFailed: dropped tokens have no value here.
    """
    value: Value = walk.values[node]
    indices &= frozenset(value.versions)
    dropping = {i for i in indices if walk.states[i].scope is None and walk.states[i].drops(value.versions[i])}
    if any(node not in walk.plan.streams[i] for i in dropping):
        return _again(walk, node, indices)
    for index in sorted(indices):
        give_back = refilled if index in dropping else restored
        value = give_back(walk, value, walk.states[index])
    return value


def _again(walk: Walk, node: fx.Node, indices: frozenset[int]) -> Value:
    """A node computed again from operands with all original tokens."""
    if op_name(node) == "scaled_dot_product_attention":
        raise RepairFailed(
            f"The model needs all tokens at {node.name!r}, where dropped tokens have no value.",
            why="it is the result of an attention that they take no part in",
            hint="Use a method that merges tokens instead of dropping them, or exclude the sites before this place.",
        )
    if (node, indices) not in walk.wholes:
        again = visit(walk, operand(node) if walk.is_item(node) else node, indices)
        walk.wholes[node, indices] = again[node.args[1]] if walk.is_item(node) else again
    return walk.wholes[node, indices]
