"""``edgetok::packed_matmul`` in Core ML: codes as integers of their own width.

Since iOS 18 a constant may be 4 or 8 bits wide with a scale and an offset for every block of a row, or 1 to 4 bits wide
with a table. Widths of 4 and 8 bits are the first, made weights when the model is loaded. For 1 to 3 bits one table of
all values makes codes numbers, and scales and zero points are applied by operations of the model: written as a scaled
constant, coremltools gives every group a table of its own for iOS 18, which takes a bit for each weight.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetok.errors import TargetRefuses
from edgetok.ops.packed import PACKED_MATMUL, middle

if TYPE_CHECKING:
    from torch._ops import OpOverload

    from edgetok.graph.program import Program
    from edgetok.target import Target
    from edgetok_exporters.coreml import Options

NAME = "edgetok::packed_matmul"
TABLES_TO = 3
"""Bits up to which codes go through a table: as integers with a scale there are only 4 and 8."""


def check(program: Program, target: Target) -> None:
    """Refuse widths that the target has no constants of: coremltools would write them as floats.

    Raises:
        TargetRefuses: there is such a weight.
    """
    for node in program.graph.find_nodes(op="call_function", target=PACKED_MATMUL):
        bits = node.args[4]
        if isinstance(bits, int) and target.packed.placement(bits) == "refused":
            raise TargetRefuses(
                f"Target {target.name!r} has no packed weights of {bits} bits.",
                why=target.packed.source,
                hint="Target coreml, for iOS 18 and macOS 15, has them.",
            )


def register(options: Options) -> tuple[OpOverload, ...]:
    """Tell coremltools' front end about the operator; which operators may stay in a program that it converts."""
    from coremltools.converters.mil.frontend.torch import register_torch_op
    from coremltools.converters.mil.frontend.torch.ops import _get_inputs

    floats = np.float16 if options.dtype == "fp16" else np.float32

    def edgetok_packed_matmul(context: Any, node: Any) -> None:
        x, codes, scale, zero, bits, columns, group = (_plain(value) for value in _get_inputs(context, node))
        weight = _weight(codes, scale, zero, int(bits), int(columns), int(group), floats)
        context.add(_product(x, weight, node.name))

    register_torch_op(edgetok_packed_matmul, torch_alias=[NAME], override=True)
    return (PACKED_MATMUL,)


def _plain(value: Any) -> Any:
    """What a constant holds; other values as they are."""
    known = getattr(value, "val", None)
    return value if known is None else known


def _product(x: Any, weight: Any, name: str) -> Any:
    from coremltools.converters.mil import Builder

    if x.dtype != weight.dtype:  # fp16 weights in a program that is not yet converted to fp16
        weight = Builder.cast(x=weight, dtype="fp32")
    return Builder.matmul(x=x, y=weight, transpose_y=True, name=name)


def _weight(
    codes: np.ndarray,
    scale: np.ndarray,
    zero: np.ndarray | None,
    bits: int,
    columns: int,
    group: int,
    floats: type[np.floating[Any]],
) -> Any:
    """The matrix as a value of the model."""
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil import types

    values = unpack(codes.astype(np.uint8), bits, columns)
    scales = spread(scale, columns, group).astype(floats)
    zeros = None if zero is None else spread(zero, columns, group).astype(np.uint8)
    kind = types.nptype_from_builtin(getattr(types, f"uint{bits}"))
    if bits <= TABLES_TO:
        return _scaled(values.astype(kind), scales, zeros, bits)
    offset = np.full(scales.shape, 1 << (bits - 1), np.uint8) if zeros is None else zeros
    return Builder.constexpr_blockwise_shift_scale(data=values.astype(kind), scale=scales, offset=offset.astype(kind))


def _scaled(codes: np.ndarray, scales: np.ndarray, zeros: np.ndarray | None, bits: int) -> Any:
    """Codes of a few bits through one table; blocks of them by their scales and zero points."""
    from coremltools.converters.mil import Builder

    floats = scales.dtype.type
    levels = np.arange(1 << bits) - (middle(bits) if zeros is None else 0)
    table = levels.astype(floats).reshape(*[1] * codes.ndim, len(levels), 1)
    blocks = (*scales.shape, codes.shape[-1] // scales.shape[-1])
    values = Builder.reshape(x=Builder.constexpr_lut_to_dense(indices=codes, lut=table), shape=blocks)
    if zeros is not None:
        one = np.ones([1] * scales.ndim, floats)
        points = Builder.constexpr_blockwise_shift_scale(data=zeros, scale=one)
        values = Builder.sub(x=values, y=Builder.expand_dims(x=points, axes=[-1]))
    scaled = Builder.mul(x=values, y=scales[..., None])
    return Builder.reshape(x=scaled, shape=codes.shape)


def unpack(codes: np.ndarray, bits: int, columns: int) -> np.ndarray:
    """Codes ``[..., columns]`` uint8 out of packed bytes."""
    stream = np.unpackbits(codes, axis=-1, bitorder="little")
    digits = stream.reshape(*codes.shape[:-1], -1, bits)
    return np.packbits(digits, axis=-1, bitorder="little")[..., 0][..., :columns]


def spread(values: np.ndarray, columns: int, group: int) -> np.ndarray:
    """One value for each of the equal blocks that Core ML needs, where the last group is shorter than the others."""
    block = columns if group >= columns else gcd(columns, group)
    return np.repeat(values, max(group // block, 1), axis=-1)[..., : columns // block]
