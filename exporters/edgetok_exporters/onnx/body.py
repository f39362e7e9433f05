"""Writing a piece of ONNX graph as a function body, one operator per call."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

FLOAT, FLOAT16, INT64, BOOL = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.INT64, ir.DataType.BOOL)
LAST = 2**62
"""A slice end beyond every axis."""


class Body:
    """Records standard operators: ``body("Add", x, y)`` is a new value, ``body.many("TopK", 2, x, k)`` are two.

    Arrays and numbers among the inputs become constants; an array keeps its dtype, an int is int64. ``half`` says that
    the runtime will compute in fp16, whatever the dtypes.
    """

    def __init__(self, *, half: bool = False) -> None:
        self.half = half
        self._tape = Tape()
        self._constants: dict[tuple[Any, ...], ir.Value] = {}

    @property
    def nodes(self) -> list[ir.Node]:
        """The nodes recorded so far, in order."""
        return list(self._tape.nodes)

    def __call__(self, op_type: str, *inputs: Any, **attributes: Any) -> ir.Value:
        """Append one node and return its value."""
        return self.many(op_type, 1, *inputs, **attributes)[0]

    def many(self, op_type: str, outputs: int, *inputs: Any, **attributes: Any) -> tuple[ir.Value, ...]:
        """Append one node with several outputs and return their values."""
        values = [self.value(x) for x in inputs]
        return tuple(self._tape.op_multi_out(op_type, values, attributes, num_outputs=outputs))

    def microsoft(self, op_type: str, *inputs: Any, **attributes: Any) -> ir.Value:
        """Append one node of onnxruntime's own domain and return its value."""
        values = [self.value(x) for x in inputs]
        return self._tape.op(op_type, values, attributes, domain="com.microsoft")

    def value(self, x: Any) -> ir.Value | None:
        """``x`` itself, or a constant made of it."""
        if x is None or isinstance(x, ir.Value):
            return x
        return self.constant(np.asarray(x, dtype=np.int64) if isinstance(x, (int, list, tuple)) else np.asarray(x))

    def constant(self, array: np.ndarray) -> ir.Value:
        """An array as a value; equal arrays are one."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._tape.op("Constant", [], {"value": ir.tensor(array)})
        return self._constants[key]

    def rows(self, x: ir.Value, column: ir.Value) -> ir.Value:
        """``x [B, N, C]`` at ids ``column [B, k, 1]``: ``[B, k, C]``, copied row by row."""
        return self("GatherND", x, column, batch_dims=1)

    def column(self, ids: ir.Value) -> ir.Value:
        """``[B, k]`` as ``[B, k, 1]``."""
        made = self("Unsqueeze", ids, [2])
        if ids.dtype is not None:
            made.dtype = ids.dtype
        return made

    def flat(self, column: ir.Value) -> ir.Value:
        """``[B, k, 1]`` as ``[B, k]``."""
        return self("Squeeze", column, [2])

    def slice(self, x: ir.Value, start: int, end: int = LAST, step: int = 1, axis: int = 1) -> ir.Value:
        """``x[start:end:step]`` along one axis."""
        return self("Slice", x, [start], [end], [axis], [step])

    def cast(self, x: ir.Value, dtype: ir.DataType) -> ir.Value:
        """``x`` as another dtype."""
        made = self("Cast", x, to=int(dtype))
        made.dtype, made.shape = dtype, x.shape
        return made

    def spread(self, row: np.ndarray, like: ir.Value) -> ir.Value:
        """A constant ``[1, ...]`` repeated over the batch of ``like``: a gather of row 0 for every sample."""
        if like.shape is not None and isinstance(like.shape[0], int):
            return self.constant(np.repeat(row, like.shape[0], axis=0))
        nought = ir.tensor(np.zeros(1, dtype=np.int64))
        first = self("ConstantOfShape", self("Shape", like, start=0, end=1), value=nought)
        return self("Gather", row, first, axis=0)

    def scalar(self, number: float, like: ir.Value) -> np.ndarray:
        """A number in the dtype of ``like``."""
        return np.asarray(number, dtype=numpy_dtype(like))


def numpy_dtype(value: ir.Value) -> np.dtype[Any]:
    """The NumPy dtype of a value whose dtype is known."""
    assert value.dtype is not None
    return np.dtype(value.dtype.numpy())


def size(value: ir.Value, axis: int) -> int:
    """A static size of a value; every axis but the batch of an ``edgetok::`` operand is static."""
    assert value.shape is not None
    dim = value.shape[axis]
    assert isinstance(dim, int), f"{value.name}: axis {axis} of {value.shape} must be static"
    return dim
