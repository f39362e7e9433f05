"""Gradients of the ``edgetok::`` operators. Decisions (which tokens merge) are constants of the gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgetok.ops.reduce import add_rows, rows, weights


def nothing(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
    """Integer outputs carry no gradient."""
    return (None,) * len(ctx.needs_input_grad)


def reduce_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what :func:`reduce_backward` needs."""
    x, sizes, keep, src, dst, ctx.mode = inputs
    weighted = ctx.mode == "mean" and sizes is not None and sizes.requires_grad
    values = x if weighted or ctx.mode == "max" else None
    ctx.tokens = x.shape[1]
    ctx.save_for_backward(values, sizes, keep, src, dst)


def reduce_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients for ``x`` and, in mode ``mean``, for ``sizes``."""
    x, sizes, keep, src, dst = ctx.saved_tensors
    grad_x = grad.new_zeros((grad.shape[0], ctx.tokens, grad.shape[2]))
    if ctx.mode == "first":
        return add_rows(grad_x, keep, grad), None, None, None, None, None
    to_src = rows(grad, dst)
    if ctx.mode == "sum":
        return add_rows(add_rows(grad_x, keep, grad), src, to_src), None, None, None, None, None
    if ctx.mode == "max":
        return _max_gradient(x, keep, src, dst, grad), None, None, None, None, None
    share, total = weights(sizes, keep, src, dst, grad.dtype)
    weighted = share.unsqueeze(-1) * to_src
    grad_x = add_rows(add_rows(grad_x, keep, add_rows(grad, dst, -weighted)), src, weighted)
    grad_sizes = None if x is None else _sizes_gradient(x, sizes, keep, src, dst, to_src, share, total)
    return grad_x, grad_sizes, None, None, None, None


def _max_gradient(x: Tensor, keep: Tensor, src: Tensor, dst: Tensor, grad: Tensor) -> Tensor:
    """To whichever token is the largest of its group, in equal parts where several are."""
    kept, gone = rows(x, keep), rows(x, src)
    largest = kept.scatter_reduce(1, dst.unsqueeze(-1), gone, "amax")
    hit, struck = (kept == largest).to(grad.dtype), (gone == rows(largest, dst)).to(grad.dtype)
    part = grad / add_rows(hit, dst, struck)
    return add_rows(add_rows(torch.zeros_like(x), keep, hit * part), src, struck * rows(part, dst))


def _sizes_gradient(
    x: Tensor, sizes: Tensor, keep: Tensor, src: Tensor, dst: Tensor, to_src: Tensor, share: Tensor, total: Tensor
) -> Tensor:
    """With u_i = <grad, x_src_i - x_keep> and v_m = sum_i u_i w_i / s'_m: u_i / s'_m - v_m, and -v_m for the kept."""
    pull = (to_src * (rows(x, src) - rows(rows(x, keep), dst))).sum(-1)
    group = torch.zeros_like(keep, dtype=pull.dtype).scatter_add(1, dst, pull * share / total)
    grad = torch.zeros_like(sizes, dtype=pull.dtype)
    return grad.scatter_add(1, keep, -group).scatter_add(1, src, pull / total - group.gather(1, dst)).to(sizes.dtype)


def restore_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what :func:`restore_backward` needs."""
    y, dest, dropped = inputs
    ctx.tokens, ctx.dropped = y.shape[1], dropped is not None
    ctx.save_for_backward(dest)


def restore_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Every old token's gradient goes to the new token it was read from, or to its own dropped value."""
    (dest,) = ctx.saved_tensors
    present = (dest >= 0).unsqueeze(-1)
    gathered = add_rows(grad.new_zeros((grad.shape[0], ctx.tokens, grad.shape[2])), dest.clamp(min=0), grad * present)
    return gathered, None, torch.where(present, 0.0, grad) if ctx.dropped else None
