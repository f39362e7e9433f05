"""``edgetok::packed_matmul`` in standard operators: bytes to codes by table, codes to weights, one product.

Nothing is unpacked in the file. onnxruntime folds what depends on weights alone when it loads it, so that the weights
are floating-point in memory.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgetok.ops.packed import middle
from edgetok_exporters.onnx.body import FLOAT, Body

INT32 = ir.DataType.INT32


def standard_matmul(
    body: Body,
    x: ir.Value,
    codes: ir.Value,
    scale: ir.Value,
    zero: ir.Value | None,
    *,
    bits: int,
    columns: int,
    group: int,
) -> tuple[ir.Value, ...]:
    """``x @ w.mT`` for packed ``w``, unpacked in fp32."""
    rank = len(codes.shape or ())
    axes = [0] * (rank - 1)
    groups, width = -(-columns // group), min(group, columns)
    values = _unpacked(body, codes, bits, rank)
    values = body.slice(values, 0, columns, axis=rank - 1)
    if groups * width > columns:
        values = body("Pad", values, [*axes, 0, *axes, groups * width - columns])
    grouped = body("Reshape", values, [*axes, groups, width])
    shift = _column(body, zero, rank) if zero is not None else np.asarray(middle(bits), np.float32)
    weights = body("Mul", body("Sub", grouped, shift), _column(body, scale, rank))
    flat = body.slice(body("Reshape", weights, [*axes, groups * width]), 0, columns, axis=rank - 1)
    order = [*range(rank - 2), rank - 1, rank - 2]
    matrix = body("Transpose", flat, perm=order)
    return (body("MatMul", x, matrix if x.dtype in (None, FLOAT) else body("Cast", matrix, to=int(x.dtype))),)


def _column(body: Body, values: ir.Value, rank: int) -> ir.Value:
    return body("Unsqueeze", body("Cast", values, to=int(FLOAT)), [rank])


def _unpacked(body: Body, codes: ir.Value, bits: int, rank: int) -> ir.Value:
    """Bytes ``[..., n]`` as codes ``[..., n * 8 / bits]`` in fp32."""
    if bits == 8:
        return body("Cast", codes, to=int(FLOAT))
    numbers = six_bits(body, codes, rank) if bits == 3 else body("Cast", codes, to=int(INT32))
    count = 6 if bits == 3 else 8
    shifts = np.arange(0, count, bits)
    table = (np.arange(1 << count)[:, None] >> shifts & ((1 << bits) - 1)).astype(np.float32)
    return body("Reshape", body("Gather", table, numbers), [*[0] * (rank - 1), -1])


def six_bits(body: Body, codes: ir.Value, rank: int) -> ir.Value:
    """The pairs of 3-bit codes in bytes ``[..., 3 n]``: numbers of six bits, int32 ``[..., 4 n]``."""
    lead = [0] * (rank - 1)
    triples = body("Cast", body("Reshape", codes, [*lead, -1, 3]), to=int(INT32))
    first = body("Gather", triples, [0, 0, 1, 2], axis=rank)
    second = body("Gather", triples, [0, 1, 2, 2], axis=rank)
    words = body("Add", first, body("Mul", second, np.asarray(256, np.int32)))
    shifted = body("Div", words, np.asarray([1, 64, 16, 4], np.int32))
    pairs = body("Mod", shifted, np.asarray(64, np.int32))
    return body("Reshape", pairs, [*lead, -1])
