"""Operations in the shapes that ExecuTorch's delegates take: a table for ``edgetok.lowering.lower``.

Its edge dialect turns a broadcasting ``matmul`` into ``expand_copy`` and ``bmm``, and no delegate takes the copies; and
XNNPACK has no ``squeeze``, ``select`` or ``expand``. Each becomes the same values by ``bmm``, ``reshape``, ``slice``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn import functional as F

from edgetok.ops.packed import PACKED_MATMUL
from edgetok_exporters.executorch import wide
from edgetok_exporters.executorch.packed import packed_matmul

aten = torch.ops.aten


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """``a [..., n, k] @ b [..., k, m]`` over equal leading axes as ``bmm``, with a matrix or vector as ``mm``."""
    if a.dim() > 2 and b.dim() in (1, 2):
        flat = torch.mm(a.reshape(-1, a.shape[-1]), b if b.dim() == 2 else b.reshape(-1, 1))
        return flat.reshape([*a.shape[:-1], *b.shape[1:]])
    if a.dim() < 3 or a.shape[:-2] != b.shape[:-2]:
        return NotImplemented  # type: ignore[no-any-return]
    if a.dim() == 3:
        return torch.bmm(a, b)
    flat = torch.bmm(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]))
    return flat.reshape(*a.shape[:-1], b.shape[-1])


def squeeze(x: Tensor, dim: int | list[int]) -> Tensor:
    """Without axes of size 1, by a reshape."""
    gone = {axis % x.dim() for axis in ([dim] if isinstance(dim, int) else dim)} if x.dim() else set()
    return x.reshape([n for axis, n in enumerate(x.shape) if axis not in gone or n != 1])


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """With one more axis of size 1, by a reshape."""
    at = dim % (x.dim() + 1)
    return x.reshape([*x.shape[:at], 1, *x.shape[at:]])


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """One entry of an axis, by a slice and a reshape."""
    axis = dim % x.dim()
    return squeeze(x.narrow(axis, index % x.shape[axis], 1), axis)


def expand(x: Tensor, size: list[int], implicit: bool = False) -> Tensor:
    """``x`` itself where nothing is repeated."""
    wanted = [x.shape[i - len(size)] if n == -1 else n for i, n in enumerate(size)]
    return x.reshape(wanted) if x.numel() == torch.Size(wanted).numel() else NotImplemented


def layer_norm(
    x: Tensor,
    shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """Layer norm over the last axis, its means as products with a constant; over several axes as torch does it."""
    if len(shape) > 1:
        return NotImplemented  # type: ignore[no-any-return]
    share = torch.full((1, shape[0]), 1.0 / shape[0], dtype=x.dtype)
    centred = x - F.linear(x, share)
    normal = centred * (F.linear(centred * centred, share) + eps).rsqrt()
    scaled = normal if weight is None else normal * weight
    return scaled if bias is None else scaled + bias


def total(x: Tensor, dim: list[int], keepdim: bool = False, dtype: torch.dtype | None = None) -> Tensor:
    """The sum over one axis of a floating tensor as a product with ones; others as torch does them."""
    return _weighted(x, dim, keepdim, dtype, 1.0)


def mean(x: Tensor, dim: list[int], keepdim: bool = False, dtype: torch.dtype | None = None) -> Tensor:
    """The mean over one axis of a floating tensor as a product with a constant; others as torch does them."""
    return _weighted(x, dim, keepdim, dtype, 1.0 / x.shape[dim[0]]) if dim else NotImplemented


def _weighted(x: Tensor, dim: list[int], keepdim: bool, dtype: torch.dtype | None, weight: float) -> Tensor:
    if len(dim) != 1 or dtype not in (None, x.dtype) or not x.is_floating_point() or x.dim() < 2:
        return NotImplemented  # type: ignore[no-any-return]
    made = F.linear(x.movedim(dim[0], -1), torch.full((1, x.shape[dim[0]]), weight, dtype=x.dtype))
    return made.movedim(-1, dim[0]) if keepdim else squeeze(made, -1)


def amax(x: Tensor, dim: list[int], keepdim: bool = False) -> Tensor:
    """The maximum over the last axis as one pooling window; others as torch does them."""
    if len(dim) != 1 or dim[0] % x.dim() != x.dim() - 1 or x.dtype != torch.float32:
        return NotImplemented  # type: ignore[no-any-return]
    window = (1, x.shape[-1])
    best = F.max_pool2d(x.reshape(1, 1, -1, x.shape[-1]), window, window)
    return best.reshape([*x.shape[:-1], 1] if keepdim else x.shape[:-1])


TABLE: dict[OpOverload, Callable[..., Any]] = {
    aten.matmul.default: matmul,
    aten.squeeze.dim: squeeze,
    aten.squeeze.dims: squeeze,
    aten.unsqueeze.default: unsqueeze,
    aten.select.int: select,
    aten.expand.default: expand,
    PACKED_MATMUL: packed_matmul,
}
"""Operations with their replacements, for the portable kernels."""

XNNPACK: dict[OpOverload, Callable[..., Any]] = {
    **TABLE,
    aten.layer_norm.default: layer_norm,
    aten.sum.dim_IntList: total,
    aten.mean.dim: mean,
    aten.amax.default: amax,
}
"""The same for XNNPACK, which has no layer norm, sum or maximum: left to portable kernels each would cut the graph."""


def rsub(x: Tensor, other: float, alpha: float = 1) -> Tensor:
    """``other - alpha * x`` as a subtraction from a constant."""
    return torch.full((1,), float(other), dtype=x.dtype) - (x if alpha == 1 else x * float(alpha))


ETHOS_U: dict[OpOverload, Callable[..., Any]] = {
    **TABLE,
    aten.rsub.Scalar: rsub,
    aten.layer_norm.default: wide.layer_norm,
    aten.softmax.int: wide.softmax,
    aten._softmax.default: wide.softmax,
}
"""The same for Arm's quantiser, whose passes replace ``rsub``, and lose what a node says of its maker."""

VULKAN: dict[OpOverload, Callable[..., Any]] = {
    op: function for op, function in XNNPACK.items() if op != aten.layer_norm.default
}
"""The same for Vulkan, which has layer norm."""
