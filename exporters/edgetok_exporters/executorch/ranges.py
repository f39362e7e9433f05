"""How far the values of a tensor reach, beyond what a few calibration inputs show.

What lies outside a tensor's range is cut off, and one sum that is cut off in half is an attention that counts twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torchao.quantization.pt2e import MinMaxObserver

if TYPE_CHECKING:
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

ANNOTATION = "quantization_annotation"
REST = 2.0
"""How many times the way from the upper quartile of inputs' largest values to the largest is added beyond it."""
SMALLEST_STEP = 2.0**-24
aten = torch.ops.aten


class ReachObserver(MinMaxObserver):  # type: ignore[misc]
    """A symmetric range, wider than what was seen by how much the largest values of inputs differ.

    With the largest absolute values ``m`` of calibration inputs, it is ``max(m) + 2 (max(m) - Q3(m))``: all that was
    seen, where inputs are alike. For maxima with an exponential tail, ``n`` inputs so cover about ``n (n / 4)**2``.

    Args:
        least: what the range covers in any case.
        **kwargs: MinMaxObserver's.
    """

    def __init__(self, least: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least = least
        self.largest: list[float] = []

    def forward(self, x_orig: Tensor) -> Tensor:
        """Note the largest value of one input."""
        if x_orig.numel():
            self.largest.append(float(x_orig.detach().abs().max()))
        return super().forward(x_orig)  # type: ignore[no-any-return]

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point."""
        reach = max(self.least, beyond(self.largest))
        return self._calculate_qparams(torch.tensor(-reach), torch.tensor(reach))  # type: ignore[no-any-return]


def reaching(least: float = 0.0) -> Any:
    """What makes an observer with 16 bits' finest steps, whose range covers ``least``."""
    return ReachObserver.with_args(least=least, eps=SMALLEST_STEP)


def beyond(largest: list[float]) -> float:
    """How far values reach, by the largest ones of some inputs; 0 for none."""
    if not largest:
        return 0.0
    seen = torch.tensor(largest, dtype=torch.float64)
    top = float(seen.max())
    return top + REST * (top - float(seen.quantile(0.75)))


def bound_softmax(graph: fx.Graph, spec: QuantizationSpec) -> None:
    """Give what :func:`~edgetok_exporters.executorch.wide.softmax` computes the ranges that it cannot leave.

    Inputs whose attention is spread wider than calibration's, or more peaked, are common.

    Args:
        graph: annotated with ``spec`` by a quantiser; changed in place.
        spec: of activations.
    """
    for exp in graph.find_nodes(op="call_function", target=aten.exp.default):
        if not _is_at_most_one(exp):
            continue
        for total in (user for user in exp.users if user.target == aten.sum.dim_IntList):
            entries = exp.meta["val"].numel() // total.meta["val"].numel()
            _cover(total, entries, spec)
            _bound_users(total, entries, spec)


def _is_at_most_one(exp: fx.Node) -> bool:
    """Whether its input is a difference to a maximum."""
    below = exp.args[0]
    top = below.args[1] if isinstance(below, fx.Node) and below.target == aten.sub.Tensor else None
    return isinstance(top, fx.Node) and top.target == aten.amax.default


def _bound_users(node: fx.Node, entries: int, spec: QuantizationSpec) -> None:
    """``n + 1`` for the sum and 1 more, 2 for a reciprocal of at least 1/2, and 1 for products, up to the last."""
    most = {aten.add.Tensor: entries + 1, aten.reciprocal.default: 2, aten.mul.Tensor: 1}
    for user in node.users:
        if user.target in most:
            _cover(user, most[user.target], spec)
            if user.meta["val"].shape == node.meta["val"].shape:
                _bound_users(user, entries, spec)


def _cover(node: fx.Node, least: int, spec: QuantizationSpec) -> None:
    """The same range where a node's value is made and where it is used: another would be another rounding."""
    wide = replace(spec, observer_or_fake_quant_ctr=reaching(least))
    if ANNOTATION not in node.meta:
        return
    node.meta[ANNOTATION].output_qspec = wide
    for user in node.users:
        if ANNOTATION in user.meta:
            user.meta[ANNOTATION].input_qspec_map[node] = wide
