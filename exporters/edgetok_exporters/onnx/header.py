"""What a file says about itself: whether it is ONNX, and its metadata, read without its weights.

Native runtimes trust what they read, and say little when it is wrong; this much is checked before they see a file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from edgetok.errors import RuntimeFailed

HTP = "qnn-htp"
"""Qualcomm's HTP, as targets call that delegate."""
DELEGATE, SOC = "edgetok.delegate", "edgetok.soc"
"""Metadata keys: where a file is to run, if not on the CPU."""
_GRAPH, _METADATA = 7, 14
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_LARGEST_TEXT = 2**20
_SIGNATURES = {
    b"PK\x03\x04": "a zip archive (a torch or Core ML package?)",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"<": "XML or HTML text",
    b"{": "JSON text",
    b"version https://git-lfs": "a Git LFS pointer: the file itself was not downloaded",
}


def metadata_for(delegate: str, soc: int) -> dict[str, str]:
    """What a file must say to be run on a delegate; nothing for the CPU."""
    return {DELEGATE: HTP, SOC: str(soc)} if delegate == HTP else {}


def read_metadata(entry: Path) -> dict[str, str]:
    """The metadata of an ``.onnx`` file; that of an ``.ort`` file is empty.

    Raises:
        RuntimeFailed: the file is absent, empty, truncated, or something else.
    """
    try:
        with entry.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(24)
            if not start:
                raise _refusal(entry, "it is empty")
            if start[4:8] == b"ORTM":
                return {}
            for signature, what in _SIGNATURES.items():
                if start.startswith(signature):
                    raise _refusal(entry, f"it is {what}")
            file.seek(0)
            return _model(file, size)
    except OSError as error:
        raise _refusal(entry, str(error.strerror)) from error
    except (ValueError, UnicodeDecodeError) as error:
        raise _refusal(entry, str(error)) from error


def _model(file: BinaryIO, size: int) -> dict[str, str]:
    """Walk the outermost message: a graph must be there; metadata is read, all else skipped."""
    metadata: dict[str, str] = {}
    found = False
    while file.tell() < size:
        field, wire = divmod(_varint(file), 8)
        if not field:
            raise ValueError("it is no protobuf message")
        length = _length(file, wire)
        if file.tell() + length > size:
            raise ValueError(f"it is truncated: {file.tell() + length} bytes are announced, {size} are there")
        if field == _METADATA and wire == _LENGTH:
            key, value = _pair(file.read(min(length, _LARGEST_TEXT)))
            metadata[key] = value
            file.seek(max(0, length - _LARGEST_TEXT), os.SEEK_CUR)
        else:
            file.seek(length, os.SEEK_CUR)
        found = found or (field == _GRAPH and wire == _LENGTH)
    if not found:
        raise ValueError("it is a protobuf message without a graph")
    return metadata


def _length(file: BinaryIO, wire: int) -> int:
    """Bytes left of a field after its tag."""
    if wire == _VARINT:
        _varint(file)
        return 0
    if wire == _LENGTH:
        return _varint(file)
    if wire in (_EIGHT_BYTES, _FOUR_BYTES):
        return 8 if wire == _EIGHT_BYTES else 4
    raise ValueError("it is no protobuf message")


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it is truncated")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("it is no protobuf message")


def _pair(message: bytes) -> tuple[str, str]:
    """A ``StringStringEntryProto``: field 1 is the key, field 2 the value."""
    from io import BytesIO

    texts = {1: "", 2: ""}
    stream = BytesIO(message)
    while stream.tell() < len(message):
        field, wire = divmod(_varint(stream), 8)
        texts[field] = stream.read(_length(stream, wire)).decode()
    return texts[1], texts[2]


def _refusal(entry: Path, why: str) -> RuntimeFailed:
    return RuntimeFailed(
        f"{entry.name} is no ONNX file that can be opened",
        why=why,
        hint="export it again, or check that it was copied whole",
    )
