"""``scatter_reduce`` with a mean, which ``torch.onnx`` silently writes as a plain overwrite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

REDUCTIONS = {"sum": "add", "prod": "mul", "amin": "min", "amax": "max"}
"""What ONNX calls the reductions it has."""
NEUTRAL = {"sum": 0.0, "prod": 1.0, "amin": np.inf, "amax": -np.inf}


def translation(op: Any) -> Callable[..., Any]:
    """The translation of ``aten.scatter_reduce.two`` for floating tensors (``op`` is an onnxscript ``Opset``)."""

    def scatter_reduce(self: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
        if not self.shape or self.dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16):
            raise NotImplementedError(f"scatter_reduce on {self.dtype} of shape {self.shape}")
        if reduce == "mean":
            return _mean(op, self, dim, index, src, include_self)
        start = self if include_self else _filled(op, self, dim, index, NEUTRAL[reduce])
        return op.ScatterElements(start, index, src, axis=dim, reduction=REDUCTIONS[reduce])

    return scatter_reduce


def _mean(op: Any, x: Any, dim: int, index: Any, src: Any, include_self: bool) -> Any:
    one = op.Constant(value=ir.tensor(np.ones((), dtype=x.dtype.numpy())))
    ones = op.Expand(one, op.Shape(x))
    ones.dtype = x.dtype
    if not include_self:
        x, ones = (_filled(op, value, dim, index, 0.0) for value in (x, ones))
    total = op.ScatterElements(x, index, src, axis=dim, reduction="add")
    count = op.ScatterElements(ones, index, op.Expand(one, op.Shape(src)), axis=dim, reduction="add")
    total.dtype = count.dtype = x.dtype
    return op.Div(total, count)


def _filled(op: Any, x: Any, dim: int, index: Any, number: float) -> Any:
    """``x`` with ``number`` wherever something will be scattered."""
    value = op.Constant(value=ir.tensor(np.asarray(number, dtype=x.dtype.numpy())))
    made = op.ScatterElements(x, index, op.Expand(value, op.Shape(index)), axis=dim)
    made.dtype = x.dtype
    return made
