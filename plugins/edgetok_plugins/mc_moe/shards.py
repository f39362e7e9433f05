"""Tensors of a transformers directory, read one at a time into memory of their own.

Files are read, not mapped: a mapped page counts as the process's memory for as long as the file is open.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from edgetok.errors import BrokenWeights, UnsupportedModel
from edgetok.sources.weight_files import read_header, weight_files

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
_MOST = 2**63 - 1
"""Elements that torch can count, also where one of the sizes is 0."""


@dataclass(frozen=True)
class Place:
    """Where a tensor lies: its file, first byte, dtype and shape."""

    file: Path
    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """How long it is."""
        return math.prod(self.shape) * self.dtype.itemsize


class Shards:
    """All tensors in the safetensors files of a directory, by name.

    Raises:
        BrokenWeights: there is no file, or one is truncated or malformed.
        UnsupportedModel: a tensor has a dtype that is no plain one.
    """

    dtypes: ClassVar[Mapping[str, torch.dtype]] = DTYPES

    def __init__(self, directory: Path) -> None:
        with _readable(directory):
            files = weight_files(directory)
        if not files:
            raise BrokenWeights(f"{directory} has no weights.", why="no model.safetensors and no index of shards")
        self._open(files)

    @classmethod
    def of(cls, files: list[Path]) -> Shards:
        """The tensors in these files."""
        made = cls.__new__(cls)
        made._open(files)
        return made

    def _open(self, files: list[Path]) -> None:
        self.files = files
        self.places: dict[str, Place] = {}
        for file in files:
            with _readable(file):
                self.places.update(_places(file, self.dtypes))

    def __contains__(self, name: str) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def read(self, name: str, index: int | None = None) -> Tensor:
        """A tensor in its stored dtype, or its slab at ``index`` of the first axis.

        Raises:
            BrokenWeights: its file is cut short, or cannot be read any more.
        """
        place = self.places[name]
        shape, start = place.shape, place.start
        if index is not None:
            shape = shape[1:]
            start += index * math.prod(shape) * place.dtype.itemsize
        data = bytearray(math.prod(shape) * place.dtype.itemsize)
        if not data:
            return torch.empty(shape, dtype=place.dtype)
        with _readable(place.file), place.file.open("rb", buffering=0) as stream:
            stream.seek(start)
            _fill(stream.readinto, memoryview(data), place.file)
        return torch.frombuffer(data, dtype=place.dtype).reshape(shape)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Failures to read are the file's."""
    try:
        yield
    except OSError as error:
        raise BrokenWeights(f"{path.name} cannot be read.", why=error.strerror or type(error).__name__) from error


def _fill(read: object, view: memoryview, file: Path) -> None:
    while view:
        count = read(view)  # type: ignore[operator]
        if not count:
            raise BrokenWeights(f"{file.name} is truncated.", why=f"{len(view)} bytes are missing")
        view = view[count:]


def _places(file: Path, dtypes: Mapping[str, torch.dtype]) -> Iterator[tuple[str, Place]]:
    header = read_header(file)
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
    for name, entry in header.items():
        if entry["dtype"] not in dtypes:
            raise UnsupportedModel(
                f"{name} is {entry['dtype']}.",
                why=f"weights to compress are one of {', '.join(dtypes)}",
                hint="Start from the model before it was quantised.",
            )
        shape = tuple(map(int, entry["shape"]))
        if math.prod(max(size, 1) for size in shape) > _MOST:
            raise BrokenWeights(f"{file.name} has an inconsistent header.", why=f"{name} has a size beyond 64 bits")
        yield name, Place(file, 8 + length + entry["data_offsets"][0], dtypes[entry["dtype"]], shape)
