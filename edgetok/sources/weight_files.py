"""Safetensors files, checked against their own headers before a byte is allocated."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetok.errors import BrokenWeights

ITEM_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}
MAX_HEADER = 100_000_000
_HINT = "Copy or download the file again."


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a transformers directory, each checked; empty where there are none.

    Raises:
        BrokenWeights: a file is missing, truncated or malformed, or an index names a file outside the directory.
    """
    single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if single.exists():
        files = [single]
    elif index.exists():
        files = _shards(index)
    else:
        return []
    for file in files:
        read_header(file)
    return files


def read_header(file: Path) -> dict[str, Any]:
    """The tensor table of a safetensors file: name -> ``{dtype, shape, data_offsets}``.

    Raises:
        BrokenWeights: the file is shorter or longer than its header says, or the header is malformed.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        prefix = stream.read(8)
        if len(prefix) < 8:
            raise BrokenWeights(f"{file.name} is truncated.", why=f"{size} bytes; a header alone has 8.", hint=_HINT)
        (length,) = struct.unpack("<Q", prefix)
        if length > min(MAX_HEADER, size - 8):
            why = f"Its header claims {length} bytes, the file has {size}."
            raise BrokenWeights(f"{file.name} is truncated or no safetensors file.", why=why, hint=_HINT)
        raw = stream.read(length)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BrokenWeights(f"{file.name} has an unreadable header.", why=str(error), hint=_HINT) from error
    if not isinstance(header, dict):
        raise BrokenWeights(f"{file.name} has a malformed header.", why=f"A {type(header).__name__}, not a table.")
    header.pop("__metadata__", None)
    _check_extent(file, header, size - 8 - length)
    return header


def _check_extent(file: Path, header: Mapping[str, Any], available: int) -> None:
    position = 0
    for name, entry in sorted(header.items(), key=lambda item: _offsets(file, *item)):
        start, end = _offsets(file, name, entry)
        bits = math.prod(entry["shape"]) * ITEM_BITS.get(entry["dtype"], 0)
        if entry["dtype"] not in ITEM_BITS or start != position or (end - start) * 8 != bits:
            why = f"{name}: dtype {entry['dtype']}, shape {entry['shape']}, bytes {start} to {end}."
            raise BrokenWeights(f"{file.name} has an inconsistent header.", why=why, hint=_HINT)
        position = end
    if position != available:
        state = "truncated" if position > available else "longer than its header says"
        why = f"The header describes {position} bytes of weights, the file holds {available}."
        raise BrokenWeights(f"{file.name} is {state}.", why=why, hint=_HINT)


def _offsets(file: Path, name: str, entry: Any) -> tuple[int, int]:
    try:
        start, end = entry["data_offsets"]
        sizes = entry["shape"]
        if not all(isinstance(value, int) and value >= 0 for value in (start, end, *sizes)):
            raise ValueError("sizes and offsets are whole numbers from 0")
        if not isinstance(entry["dtype"], str):
            raise TypeError("dtype is a string")
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenWeights(f"{file.name} has a malformed header.", why=f"{name}: {error!r}", hint=_HINT) from error
    return start, end


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BrokenWeights(f"{index.name} is malformed.", why=repr(error), hint=_HINT) from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise BrokenWeights(f"{index.name} points outside its directory.", why=f"It names {name!r}.")
        if not (index.parent / name).is_file():
            raise BrokenWeights(f"{index.name} names a file that is missing.", why=f"There is no {name}.", hint=_HINT)
    return [index.parent / name for name in names]
