"""``scaled_dot_product_attention`` in ONNX: explicit up to opset 22, one ``Attention`` node from 23 on.

The exporter's own decomposition fails on a masked attention whose output is viewed, because it freezes strides; these
forms have none. The explicit one is laid out for onnxruntime, which folds the scale and the transposed key into one
matmul; an additive size bias is broadcast from ``[B, 1, 1, N]``, over many tokens inside that matmul.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

ATTENTION_OPSET = 23
LONG = 1024
"""Keys from which a bias per key costs less as one more channel than as another pass over all scores."""


def translation(op: Any) -> Callable[..., Any]:
    """The translation of ``aten.scaled_dot_product_attention`` for one opset (an onnxscript ``Opset``)."""

    def attention(
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        factor = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
        if enable_gqa:
            key, value = (_repeat_heads(op, x, query.shape[1]) for x in (key, value))
        if is_causal:
            attn_mask = op.Constant(value=ir.tensor(_causal(query, key)))
            attn_mask.dtype, attn_mask.shape = ir.DataType.BOOL, ir.Shape([query.shape[-2], key.shape[-2]])
        if op.version >= ATTENTION_OPSET and len(query.shape) == 4 and _fits(query, attn_mask):
            return _fused(op, query, key, value, attn_mask, factor)
        return _explicit(op, query, key, value, attn_mask, factor)

    return attention


def _explicit(op: Any, query: Any, key: Any, value: Any, mask: Any, factor: float) -> Any:
    rank = len(key.shape)
    turned = op.Transpose(key, perm=[*range(rank - 2), rank - 1, rank - 2])
    if mask is not None and _is_long_bias(mask, key):
        return op.MatMul(op.Softmax(_with_channel(op, query, key, turned, mask, factor), axis=-1), value)
    scores = op.Mul(op.MatMul(query, turned), _constant(op, factor, query))
    if mask is not None:
        scores = op.Add(scores, additive(op, mask, query))
    return op.MatMul(op.Softmax(scores, axis=-1), value)


def _is_long_bias(mask: Any, key: Any) -> bool:
    """Whether a mask is a number per key of each sample, of many keys: ``[B, 1, 1, N]``."""
    if mask.shape is None or len(mask.shape) != 4 or len(key.shape) != 4 or mask.dtype == ir.DataType.BOOL:
        return False
    static = all(isinstance(n, int) for n in key.shape[1:]) and str(mask.shape[0]) == str(key.shape[0]) != "None"
    return static and list(mask.shape[1:]) == [1, 1, key.shape[2]] and key.shape[2] >= LONG


def _with_channel(op: Any, query: Any, key: Any, turned: Any, bias: Any, factor: float) -> Any:
    """Scores plus a bias per key, as one more channel: 1 in every query, the bias in the keys."""
    scaled = op.Mul(query, _constant(op, factor, query))
    ones = op.Constant(value_ints=[0] * 7 + [1])
    row = op.Expand(bias, op.Constant(value_ints=[1, key.shape[1], 1, 1]))
    return op.MatMul(op.Pad(scaled, ones, _constant(op, 1.0, query)), op.Concat(turned, row, axis=2))


def _fused(op: Any, query: Any, key: Any, value: Any, mask: Any, factor: float) -> Any:
    packed = [packed_heads(x) for x in (query, key, value)]
    bias = [] if mask is None else [_rows(op, additive(op, mask, query), query.shape[-2])]
    if any(x is None for x in packed):
        return op.Attention(query, key, value, *bias, scale=factor)[0]
    heads, size = query.shape[1], value.shape[-1]
    flat = op.Attention(*packed, *bias, q_num_heads=heads, kv_num_heads=key.shape[1], scale=factor)[0]
    return op.Transpose(op.Reshape(flat, op.Constant(value_ints=[0, query.shape[-2], heads, size])), perm=[0, 2, 1, 3])


def packed_heads(x: Any) -> Any:
    """``[B, N, heads * d]`` of which ``x [B, heads, N, d]`` is a view with exchanged axes, or None."""
    turn = x.producer()
    if turn is None or turn.op_type != "Transpose" or list(turn.attributes["perm"].as_ints()) != [0, 2, 1, 3]:
        return None
    view = turn.inputs[0].producer()
    if view is None or view.op_type != "Reshape" or len(x.shape) != 4:
        return None
    packed = view.inputs[0]
    if packed.shape is None or len(packed.shape) != 3 or packed.shape[2] != x.shape[1] * x.shape[3]:
        return None
    return packed if packed.shape[1] == x.shape[2] else None


def additive(op: Any, mask: Any, query: Any) -> Any:
    """A mask as something to add: bool masks become 0 and the lowest finite number."""
    if mask.dtype != ir.DataType.BOOL:
        return mask
    low = float(np.finfo(query.dtype.numpy()).min)
    return op.Where(mask, _constant(op, 0.0, query), _constant(op, low, query))


def _fits(query: Any, mask: Any) -> bool:
    """``Attention`` wants a mask whose last two sizes are those of the scores."""
    return isinstance(query.shape[-2], int) and (mask is None or len(mask.shape) in (2, 4))


def _rows(op: Any, mask: Any, queries: int) -> Any:
    if mask.shape is not None and mask.shape[-2] == queries:
        return mask
    return op.Expand(mask, op.Constant(value_ints=[queries, 1]))


def _repeat_heads(op: Any, x: Any, heads: int) -> Any:
    groups = heads // x.shape[1]
    wide = op.Expand(op.Unsqueeze(x, op.Constant(value_ints=[2])), op.Constant(value_ints=[1, 1, groups, 1, 1]))
    made = op.Reshape(wide, op.Constant(value_ints=[0, heads, -1, x.shape[3]]))
    made.shape, made.dtype = ir.Shape([x.shape[0], heads, *x.shape[2:]]), x.dtype
    return made


def _causal(query: Any, key: Any) -> np.ndarray:
    sizes = query.shape[-2], key.shape[-2]
    if not all(isinstance(n, int) for n in sizes):
        raise NotImplementedError(f"causal attention over a symbolic number of tokens {sizes}")
    return np.tril(np.ones(sizes, dtype=bool))


def _constant(op: Any, number: float, like: Any) -> Any:
    return op.Constant(value=ir.tensor(np.asarray(number, dtype=like.dtype.numpy())))
