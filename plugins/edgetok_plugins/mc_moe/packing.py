"""Quantised matrices whose codes are packed into bytes, and their layout in safetensors.

A matrix ``w [out, in]`` is cut into groups of ``group`` neighbours along ``in`` (the last may be shorter); with code
``c``, and scale ``s`` and zero point ``z`` of its group, ``w = s * (c - z)``. Without stored zero points ``z`` is
``2 ** (bits - 1)``, and 1/2 for one bit: ``+-s / 2``.

Four tensors in a safetensors file are one matrix, or a stack of them with leading axes in front of each:

| name | dtype | shape |
|---|---|---|
| ``NAME.codes`` | uint8 | ``[out, bits * ceil(in / 8)]``, packed as in ``edgetok_plugins.mc_moe.bits`` |
| ``NAME.scale`` | float16 or float32 | ``[out, ceil(in / group)]`` |
| ``NAME.zero`` | uint8 | the same; absent where ``z`` is the middle |
| ``NAME.layout`` | int32 | ``[3]``: bits, in, group |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgetok.errors import BrokenWeights
from edgetok_plugins.mc_moe.bits import WIDTHS, pack_codes, row_bytes, unpack_codes

AGAIN = "Compress the model again; if it was downloaded, download it again."


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A quantised matrix ``[out, in]``, or a stack of matrices of one width with leading axes ``...``.

    Attributes:
        bits: 1, 2, 3, 4 or 8.
        shape: ``(out, in)`` of one matrix.
        group: neighbours along ``in`` that share a scale.
        codes: uint8 ``[..., out, row_bytes(in, bits)]``.
        scale: float16 or float32 ``[..., out, ceil(in / group)]``.
        zero: uint8, shaped like ``scale``; ``None`` where every zero point is the middle.
    """

    bits: int
    shape: tuple[int, int]
    group: int
    codes: Tensor
    scale: Tensor
    zero: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse tensors that do not fit each other, before anything reads them."""
        if problem := _misfit(self):
            raise BrokenWeights("A packed weight is malformed.", why=problem, hint=AGAIN)

    @property
    def groups(self) -> int:
        """Groups in a row."""
        return -(-self.shape[1] // self.group)

    @property
    def stacked(self) -> tuple[int, ...]:
        """Leading axes; ``()`` for a single matrix."""
        return tuple(self.codes.shape[:-2])

    def __getitem__(self, index: int | slice | Tensor) -> PackedWeight:
        """Matrices of a stack, chosen along its first axis."""
        zero = None if self.zero is None else self.zero[index]
        return PackedWeight(self.bits, self.shape, self.group, self.codes[index], self.scale[index], zero)

    def rows(self, start: int, stop: int) -> PackedWeight:
        """The matrices of output rows ``start`` to ``stop - 1``."""
        zero = None if self.zero is None else self.zero[..., start:stop, :]
        codes, scale = self.codes[..., start:stop, :], self.scale[..., start:stop, :]
        return PackedWeight(self.bits, (codes.shape[-2], self.shape[1]), self.group, codes, scale, zero)

    def bytes(self) -> int:
        """Bytes of codes, scales and zero points; ``layout`` takes 12 more."""
        tensors = (self.codes, self.scale) if self.zero is None else (self.codes, self.scale, self.zero)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Named tensors for a safetensors file, as the module's table says."""
        layout = torch.tensor([self.bits, self.shape[1], self.group], dtype=torch.int32)
        named = {"codes": self.codes, "scale": self.scale, "zero": self.zero, "layout": layout}
        return {f"{prefix}.{name}": tensor.contiguous() for name, tensor in named.items() if tensor is not None}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str) -> PackedWeight:
        """What ``tensors(prefix)`` gave.

        Raises:
            BrokenWeights: a tensor is missing, or they do not fit each other; names the one that is wrong.
        """
        missing = [name for name in ("codes", "scale", "layout") if f"{prefix}.{name}" not in tensors]
        if missing:
            raise BrokenWeights(
                f"The packed weight {prefix} is incomplete.", why=f"missing: {', '.join(missing)}", hint=AGAIN
            )
        codes, scale, layout = (tensors[f"{prefix}.{name}"] for name in ("codes", "scale", "layout"))
        if problem := _no_layout(layout, codes):
            raise _malformed(prefix, problem)
        bits, columns, group = layout.tolist()
        try:
            return cls(bits, (codes.shape[-2], columns), group, codes, scale, tensors.get(f"{prefix}.zero"))
        except BrokenWeights as error:
            raise _malformed(prefix, error.why) from None


def pack(codes: Tensor, scale: Tensor, zero: Tensor | None = None, *, bits: int, group: int) -> PackedWeight:
    """Pack codes ``[..., out, in]`` (uint8) with their scales and zero points ``[..., out, ceil(in / group)]``.

    Raises:
        ValueError: a code does not fit into ``bits``.
        BrokenWeights: shapes or dtypes do not fit each other.
    """
    out, columns = codes.shape[-2:]
    return PackedWeight(bits, (out, columns), group, pack_codes(codes, bits), scale, zero)


def unpack(weight: PackedWeight) -> Tensor:
    """The codes, uint8 ``[..., out, in]``."""
    return unpack_codes(weight.codes, weight.bits, weight.shape[1])


def dequantise(weight: PackedWeight, dtype: torch.dtype = torch.float32) -> Tensor:
    """The matrices ``scale * (codes - zero)`` in ``dtype``, ``[..., out, in]``; computed in float32."""
    scale = _per_column(weight, weight.scale.float())
    zero = middle(weight.bits) if weight.zero is None else _per_column(weight, weight.zero.float())
    return unpack(weight).float().sub_(zero).mul_(scale).to(dtype)


def middle(bits: int) -> float:
    """The zero point where none is stored."""
    return 0.5 if bits == 1 else float(1 << (bits - 1))


def stack(weights: Sequence[PackedWeight]) -> PackedWeight:
    """Matrices of one width, shape and grouping as one, with a new first axis.

    Raises:
        ValueError: they differ, or there are none.
    """
    first = weights[0] if weights else None
    if first is None or any(_form(weight) != _form(first) for weight in weights):
        raise ValueError("a stack is of at least one packed weight, and all of one width, shape and grouping")
    zeros = [weight.zero for weight in weights if weight.zero is not None]
    codes, scale = (torch.stack([getattr(weight, name) for weight in weights]) for name in ("codes", "scale"))
    return PackedWeight(first.bits, first.shape, first.group, codes, scale, torch.stack(zeros) if zeros else None)


def packed_bytes(shape: tuple[int, int], bits: int, group: int, *, zero: bool, scale_bytes: int = 2) -> int:
    """Bytes of codes, scales and zero points of a matrix ``(out, in)``: the arithmetic of its bits."""
    out, columns = shape
    return out * (row_bytes(columns, bits) + -(-columns // group) * (scale_bytes + zero))


def linear_for(weight: PackedWeight, layer: object, path: str) -> nn.Linear:
    """The layer at ``path``, if the weight can stand for its own.

    Raises:
        BrokenWeights: it is no linear layer, or of another shape.
    """
    found = (*weight.stacked, *weight.shape)
    if isinstance(layer, nn.Linear) and (layer.out_features, layer.in_features) == found:
        return layer
    raise BrokenWeights(f"The packed weight of {path} does not fit the model.", why=f"shape {found} for {layer}")


def _form(weight: PackedWeight) -> tuple[object, ...]:
    return weight.bits, weight.shape, weight.group, weight.stacked, weight.zero is None, weight.scale.dtype


def _per_column(weight: PackedWeight, values: Tensor) -> Tensor:
    """``[..., groups]`` spread over the columns of their groups, ``[..., in]``."""
    return values.repeat_interleave(min(weight.group, weight.shape[1]), dim=-1)[..., : weight.shape[1]]


def _malformed(prefix: str, why: str) -> BrokenWeights:
    return BrokenWeights(f"The packed weight {prefix} is malformed.", why=why, hint=AGAIN)


def _no_layout(layout: Tensor, codes: Tensor) -> str | None:
    if layout.dtype != torch.int32 or layout.shape != (3,):
        return f"layout is {layout.dtype} {tuple(layout.shape)}, expected torch.int32 (3,)"
    return None if codes.dim() > 1 else f"codes are of shape {tuple(codes.shape)}, expected a matrix or a stack"


def _misfit(weight: PackedWeight) -> str | None:
    out, columns = weight.shape
    if weight.bits not in WIDTHS:
        return f"layout: bits are {weight.bits}, expected one of {WIDTHS}"
    for name, value in (("columns", columns), ("group", weight.group)):
        if value < 1:
            return f"layout: {name} is {value}, expected 1 or more"
    expected = {"codes": (*weight.stacked, out, row_bytes(columns, weight.bits))}
    expected |= dict.fromkeys(("scale", "zero"), (*weight.stacked, out, weight.groups))
    dtypes = {"codes": {torch.uint8}, "scale": {torch.float16, torch.float32}, "zero": {torch.uint8}}
    for name, shape in expected.items():
        tensor = getattr(weight, name)
        if tensor is not None and (tuple(tensor.shape) != shape or tensor.dtype not in dtypes[name]):
            return f"{name} is {tensor.dtype} {tuple(tensor.shape)}, expected {shape}"
    return None
