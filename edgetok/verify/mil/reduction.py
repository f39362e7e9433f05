"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgetok.verify.mil.registry import Evaluate, Operands, op


def reducing(function: Callable[..., Tensor]) -> Evaluate:
    """A reduction over ``axes`` (all of them by default)."""

    def evaluate(operands: Operands) -> Tensor:
        x = operands["x"]
        axes = operands.numbers("axes", range(x.dim()))
        return function(x, dim=tuple(axes), keepdim=operands.flag("keep_dims"))

    return evaluate


def _sum(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return x.sum(dim, keepdim=keepdim).to(x.dtype)


def _product(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in dim), reverse=True):
        x = x.prod(axis, keepdim=keepdim).to(x.dtype)
    return x


def _mean(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return x.float().mean(dim, keepdim=keepdim)


_REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "reduce_sum": _sum,
    "reduce_mean": _mean,
    "reduce_max": torch.amax,
    "reduce_min": torch.amin,
    "reduce_prod": _product,
    "reduce_l1_norm": lambda x, dim, keepdim: _sum(x.abs(), dim, keepdim),
    "reduce_l2_norm": lambda x, dim, keepdim: _sum(x.square(), dim, keepdim).sqrt(),
    "reduce_sum_square": lambda x, dim, keepdim: _sum(x.square(), dim, keepdim),
    "reduce_log_sum": lambda x, dim, keepdim: _sum(x, dim, keepdim).log(),
    "reduce_log_sum_exp": torch.logsumexp,
}
for _name, _function in _REDUCTIONS.items():
    op(_name)(reducing(_function))


@op("reduce_argmax")
def reduce_argmax(operands: Operands) -> Tensor:
    """The lowest index of the largest entry along ``axis``."""
    return _first(operands, operands["x"])


@op("reduce_argmin")
def reduce_argmin(operands: Operands) -> Tensor:
    """The lowest index of the smallest entry along ``axis``."""
    return _first(operands, -operands["x"])


def _first(operands: Operands, x: Tensor) -> Tensor:
    axis = operands.integer("axis", -1)
    order = x.argsort(dim=axis, descending=True, stable=True).narrow(axis, 0, 1)
    return order if operands.flag("keep_dims") else order.squeeze(axis)
