"""Checkpoints that ship in 4 or 8 bits, read one tensor at a time as the bfloat16 model that they stand for.

``mxfp4`` (gpt-oss; OCP Microscaling Formats 1.0): ``X_blocks`` uint8 ``[experts, out, groups, 16]`` holds two E2M1
numbers a byte, the lower half first; ``X_scales`` uint8 ``[experts, out, groups]`` exponents of two, plus 127. Nothing
is lost in bfloat16.

``fp8`` (DeepSeek-V3): ``X`` E4M3 ``[out, in]``, and ``X_scale_inv`` with one number for each block, by which it is
multiplied. Products are rounded to bfloat16 once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok_plugins.mc_moe.shards import DTYPES, Shards

METHODS = ("mxfp4", "fp8")
"""What a ``quantization_config.quant_method`` may be, to be read here."""
FP8 = torch.float8_e4m3fn
_HALVES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_BIAS = 127


class Decoded(Shards):
    """All tensors of a directory, those in few bits under the name and with the shape that the model has.

    Raises:
        BrokenWeights: files are missing or malformed, or scales do not fit what they scale.
        UnsupportedModel: a tensor has a dtype that is no plain one, or is FP8 without scales.
    """

    dtypes: ClassVar[Mapping[str, torch.dtype]] = DTYPES | {"F8_E4M3": FP8}

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._block = _block_of(directory)
        stems = [name.removesuffix("_blocks") for name in self.places if name.endswith("_blocks")]
        self._fours = {stem for stem in stems if self._is_four(stem)}
        self._eights = {name for name, place in self.places.items() if place.dtype == FP8}
        for name in self._fours | self._eights:
            self._check(name)
        parts = {f"{name}{end}" for name in self._fours for end in ("_blocks", "_scales")}
        self._parts = parts | {f"{name}_scale_inv" for name in self._eights}

    def _is_four(self, stem: str) -> bool:
        found = (self.places.get(f"{stem}_blocks"), self.places.get(f"{stem}_scales"))
        return all(place is not None and place.dtype == torch.uint8 for place in found)

    def __contains__(self, name: str) -> bool:
        return name in self._fours or (name in self.places and name not in self._parts)

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self.places if name not in self._parts)
        yield from sorted(self._fours)

    def read(self, name: str, index: int | None = None) -> Tensor:
        """A tensor in its stored dtype, bfloat16 where that has few bits, or its slab at ``index``."""
        if name in self._fours:
            blocks, scales = (super(Decoded, self).read(f"{name}_{part}", index) for part in ("blocks", "scales"))
            return from_mxfp4(blocks, scales)
        stored = super().read(name, index)
        if name not in self._eights:
            return stored
        return from_fp8(stored, super().read(f"{name}_scale_inv", index), self._block)

    def _check(self, name: str) -> None:
        if name in self._fours:
            codes, scales = (self.places[f"{name}_{part}"].shape for part in ("blocks", "scales"))
            fits = len(codes) == 4 and codes[:-1] == scales
        else:
            if f"{name}_scale_inv" not in self.places:
                raise UnsupportedModel(
                    f"{name} is F8_E4M3 without {name}_scale_inv.",
                    why="the block scales of FP8 checkpoints have that name",
                    hint="Start from the model before it was quantised.",
                )
            codes, scales = self.places[name].shape, self.places[f"{name}_scale_inv"].shape
            counts = tuple(-(-size // block) for size, block in zip(codes[-2:], self._block, strict=False))
            fits = len(codes) >= 2 and (*codes[:-2], *counts) == scales
        if not fits:
            raise BrokenWeights(f"The scales of {name} do not fit it.", why=f"{tuple(codes)} scaled by {tuple(scales)}")


def from_mxfp4(blocks: Tensor, scales: Tensor) -> Tensor:
    """Numbers out of MXFP4, transposed as gpt-oss multiplies by them.

    Args:
        blocks: uint8 ``[..., out, groups, bytes]``.
        scales: uint8 ``[..., out, groups]``.

    Returns:
        bfloat16 ``[..., groups * 2 * bytes, out]``; exact.
    """
    numbers = torch.tensor([*_HALVES, *(-half for half in _HALVES)], dtype=torch.bfloat16)
    byte = torch.arange(256)
    pairs = torch.stack([numbers[byte & 15], numbers[byte >> 4]], dim=-1)
    values = pairs[blocks.int()].flatten(-2) * torch.exp2(scales.float() - _BIAS).unsqueeze(-1)
    return values.flatten(-2).bfloat16().transpose(-1, -2).contiguous()


def from_fp8(codes: Tensor, scales: Tensor, block: tuple[int, int]) -> Tensor:
    """E4M3 ``[..., out, in]``, each block times its number in ``scales [..., out blocks, in blocks]``, in bfloat16."""
    rows, columns = codes.shape[-2:]
    wide = scales.float().repeat_interleave(block[0], -2)[..., :rows, :].repeat_interleave(block[1], -1)[..., :columns]
    return (codes.float() * wide).bfloat16()


def _block_of(directory: Path) -> tuple[int, int]:
    """Rows and columns of an FP8 block: what ``config.json`` says, or 128 each."""
    file = directory / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    settings = config.get("quantization_config") if isinstance(config, dict) else None
    size = settings.get("weight_block_size") if isinstance(settings, dict) else None
    if size is None:
        return 128, 128
    if not (isinstance(size, list) and len(size) == 2 and all(type(each) is int and each > 0 for each in size)):
        raise UnsupportedModel(f"{directory.name} has weight_block_size {size!r}.", why="two sizes are expected")
    return size[0], size[1]
