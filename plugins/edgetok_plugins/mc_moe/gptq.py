"""GPTQ: rounding column by column, where each column's error is made up for by those still to come.

With ``H = X^T X`` over the inputs ``X [n, in]`` of a matrix ``W``, and ``U`` the upper Cholesky factor of ``H^-1``,
column ``j`` is rounded to ``q_j``, and ``(w_j - q_j) / U_jj * U_jk`` is taken from every later column ``k``: the least
``||(W - Q) X^T||`` that changes of later columns can reach.

Source: Frantar et al., GPTQ (ICLR 2023), https://arxiv.org/abs/2210.17323. Departures: errors are made up for at every
width, one bit included, inside blocks and across them; with ``act_order`` grids are those of the unchanged weights, so
that groups stay neighbours in the stored order; columns that no input reaches are rounded as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgetok_plugins.mc_moe.grid import Grid, collect, fit
from edgetok_plugins.mc_moe.packing import PackedWeight

BLOCK = 128
"""Columns whose errors are gathered before later ones are changed."""


def hessian(inputs: Tensor) -> Tensor:
    """``X^T X`` of ``inputs [n, in]``, float32 ``[in, in]``."""
    rows = inputs.float()
    return rows.T @ rows


def gptq(
    weight: Tensor, hessian: Tensor, *, bits: int, group: int, damping: float = 0.01, act_order: bool = False
) -> PackedWeight:
    """Quantise ``weight [out, in]`` for inputs with this ``hessian [in, in]``.

    Args:
        weight: any floating dtype; computed in float32, on its device.
        hessian: ``X^T X``; zeros give rounding to nearest.
        bits: 1, 2, 3, 4 or 8.
        group: neighbouring columns that share a scale.
        damping: this share of the mean of the diagonal is added to it; tenfold as long as it cannot be factored.
        act_order: round the columns with the largest inputs first.
    """
    work = weight.float().clone()
    columns = work.shape[1]
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True) if act_order else None
    grids = [fit(part, bits) for part in torch.split(work, group, dim=1)] if act_order else []
    factor = _factor(hessian if order is None else hessian[order][:, order], damping)
    places = list(range(columns)) if order is None else order.tolist()
    if order is not None:
        work = work[:, order]
    codes = torch.empty_like(work)
    block = group * max(1, BLOCK // group)
    for start in range(0, columns, block):
        stop = min(start + block, columns)
        errors = torch.empty_like(work[:, start:stop])
        for column in range(start, stop):
            if order is None and column % group == 0:
                grids.append(fit(work[:, column : column + group], bits))
            grid = grids[places[column] // group]
            errors[:, column - start] = _round(work, codes, factor, grid, column, stop)
        work[:, stop:] -= errors @ factor[start:stop, stop:]
    if order is not None:
        codes = codes[:, torch.argsort(order)]
    return collect(codes, grids, group)


def _round(work: Tensor, codes: Tensor, factor: Tensor, grid: Grid, column: int, stop: int) -> Tensor:
    """Round one column, change the rest of its block, and return the error ``[out]`` over the diagonal."""
    value = work[:, column : column + 1]
    code = grid.codes(value)
    codes[:, column] = code[:, 0]
    error = (value - grid.values(code)) / factor[column, column]
    work[:, column:stop] -= error * factor[column, column:stop]
    return error[:, 0]


def _factor(hessian: Tensor, damping: float) -> Tensor:
    """The upper Cholesky factor of the inverse, damped as much as it takes."""
    damped = hessian.float().clone()
    diagonal = damped.diagonal()
    diagonal[diagonal == 0] = 1
    mean = float(diagonal.mean())
    while True:
        diagonal += damping * mean
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not failed:
            upper: Tensor
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not failed and bool(upper.isfinite().all()):
                return upper
        if damping > 1e6 or not bool(damped.isfinite().all()):
            raise ValueError("the inputs of this matrix are not finite, so that it cannot be quantised")
        damping = max(10 * damping, 1e-4)
