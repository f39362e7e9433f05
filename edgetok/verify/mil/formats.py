"""The data types of a MIL program, and how their values are held here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgetok.errors import RuntimeFailed


@dataclass(frozen=True)
class Format:
    """One data type.

    Attributes:
        name: as in the program, ``"fp16"``.
        bits: of one stored value.
        held: the torch dtype that values are computed in: fp32 for floating types, int32 and wider for integers.
        array: the NumPy dtype of stored values; packed types (below 8 bits) are bytes.
    """

    name: str
    bits: int
    held: torch.dtype
    array: type[np.generic]

    @property
    def floating(self) -> bool:
        """Whether its values are floating point."""
        return self.name.startswith("fp")

    def rounded(self, value: Tensor) -> Tensor:
        """A computed value as this type would keep it."""
        if self.name == "fp16":
            return value.to(torch.float16).to(torch.float32)
        return value.to(self.held)


_INT, _LONG = torch.int32, torch.int64
FORMATS = {
    1: Format("bool", 8, torch.bool, np.bool_),
    10: Format("fp16", 16, torch.float32, np.float16),
    11: Format("fp32", 32, torch.float32, np.float32),
    21: Format("int8", 8, _INT, np.int8),
    22: Format("int16", 16, _INT, np.int16),
    23: Format("int32", 32, _INT, np.int32),
    24: Format("int64", 64, _LONG, np.int64),
    25: Format("int4", 4, _INT, np.int8),
    31: Format("uint8", 8, _INT, np.uint8),
    32: Format("uint16", 16, _INT, np.uint16),
    33: Format("uint32", 32, _LONG, np.uint32),
    35: Format("uint4", 4, _INT, np.uint8),
    36: Format("uint2", 2, _INT, np.uint8),
    37: Format("uint1", 1, _INT, np.uint8),
    38: Format("uint6", 6, _INT, np.uint8),
    39: Format("uint3", 3, _INT, np.uint8),
}
"""By the number of ``DataType`` in Core ML's MIL.proto."""

BY_NAME = {found.name: found for found in FORMATS.values()}
STRING = 2


def format_of(number: int) -> Format:
    """The format of a data type's number.

    Raises:
        RuntimeFailed: the interpreter does not know it.
    """
    if number not in FORMATS:
        raise RuntimeFailed(
            "The ML program uses a data type that the MIL interpreter does not know.",
            why=f"data type {number} of MIL.proto",
            hint="Run the package on macOS, or export with dtype fp16 or fp32.",
        )
    return FORMATS[number]


def unpacked(data: np.ndarray, kind: Format, count: int) -> np.ndarray:
    """Values from bytes ``[n]`` that hold ``count`` of them, lowest bits first; signed types are extended."""
    if kind.bits >= 8:
        return np.frombuffer(data.tobytes(), dtype=kind.array, count=count)
    bits = np.unpackbits(data, bitorder="little")[: count * kind.bits].reshape(count, kind.bits)
    values = (bits.astype(np.int32) << np.arange(kind.bits)).sum(axis=1)
    if kind.name == "int4":
        values = np.where(values >= 8, values - 16, values)
    made: np.ndarray = values.astype(kind.array)
    return made


def tensor_of(values: np.ndarray, kind: Format, shape: tuple[int, ...]) -> Tensor:
    """Stored values as they are computed with."""
    return torch.from_numpy(np.array(values).reshape(shape).astype(_NUMPY[kind.held]))


_NUMPY = {torch.bool: np.bool_, torch.float32: np.float32, _INT: np.int32, _LONG: np.int64}
