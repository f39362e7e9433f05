"""Operations whose output has the axes of their broadcast operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.graph.labels import Axes, rule
from edgetok.graph.nodes import names, operand

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph.labels import Labeller


ELEMENTWISE = names(
    """add sub mul div pow rsub maximum minimum fmod remainder where masked_fill clip clamp clamp_min clamp_max
    eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_not __and__
    __or__ abs neg exp expm1 log log1p log2 sqrt rsqrt reciprocal square sin cos tan tanh sigmoid erf floor ceil
    round trunc sign relu relu6 gelu silu mish elu leaky_relu celu selu hardtanh hardswish hardsigmoid softplus
    logsigmoid prelu dropout clone alias detach contiguous to _to_copy type_as copy lift_fresh_copy isnan isinf
    isfinite floor_divide addcmul addcdiv lerp atan atan2 sinh cosh erfc logaddexp bitwise_xor frac threshold
    nan_to_num zeros_like ones_like full_like empty_like rand_like fill"""
)
"""Operations each of whose entries is made of the operands' entries at its place, and of no others."""


@rule(*ELEMENTWISE, *names("layer_norm rms_norm cumsum softmax _softmax log_softmax _log_softmax _safe_softmax"))
def elementwise(labeller: Labeller, node: fx.Node) -> Axes:
    """Broadcast the operands. Norms and softmax keep the axes of their input (weights align with its last axes)."""
    return labeller.elementwise(node)


@rule("native_layer_norm", "native_group_norm", "_native_batch_norm_legit_no_training")
def native_norm(labeller: Labeller, node: fx.Node) -> list[Axes]:
    """The input's axes, and fresh ones for the statistics."""
    shapes = [labeller.labels.symbols.sizes(v.shape) for v in node.meta["val"][1:]]
    return [labeller.axes(operand(node)), *(labeller.fresh(s, node.name) for s in shapes)]


@rule("group_norm", "batch_norm", "instance_norm", "roll", "flip", "tril", "triu", "contiguous_format")
def like_first(labeller: Labeller, node: fx.Node) -> Axes:
    """The axes of the first operand."""
    return labeller.axes(operand(node))
