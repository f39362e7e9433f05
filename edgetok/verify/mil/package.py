"""Opening an ``.mlpackage``: nothing in it is trusted, nothing outside it is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from edgetok.errors import RuntimeFailed
from edgetok.silence import quiet

WEIGHTS_PREFIX = "@model_path/"
_SENTINEL = 0xDEADBEEF
_RECORD = np.dtype([("sentinel", "<u4"), ("dtype", "<u4"), ("bytes", "<u8"), ("offset", "<u8")])


@dataclass(frozen=True)
class Package:
    """A parsed package.

    Attributes:
        path: the ``.mlpackage`` directory.
        model: the file in it that holds the specification.
        spec: Core ML's ``Model`` message.
    """

    path: Path
    model: Path
    spec: Any

    def blob(self, name: str, offset: int) -> np.ndarray:
        """The bytes of one weight: ``uint8 [n]``, from a weight file of this package.

        Raises:
            RuntimeFailed: the file is missing, outside the package, or has no weight there.
        """
        path = self._weight_file(name)
        try:
            data: np.ndarray = np.memmap(path, dtype=np.uint8, mode="r")
        except (OSError, ValueError) as error:
            raise damaged(self.path, f"weight file {name}: {error}") from error
        if not 0 <= offset <= len(data) - _RECORD.itemsize:
            raise damaged(self.path, f"{name} has {len(data)} bytes, and a weight shall be at {offset}")
        record = np.frombuffer(data[offset : offset + _RECORD.itemsize].tobytes(), dtype=_RECORD)[0]
        start, size = int(record["offset"]), int(record["bytes"])
        if record["sentinel"] != _SENTINEL or start + size > len(data):
            raise damaged(self.path, f"{name} has no complete weight at {offset}")
        return np.asarray(data[start : start + size])

    def _weight_file(self, name: str) -> Path:
        inner = name.removeprefix(WEIGHTS_PREFIX)
        found = inside(self.model.parent, inner) if inner != name else None
        if found is None:
            raise damaged(self.path, f"it refers to the weight file {name!r}, outside itself")
        if not found.is_file():
            raise damaged(self.path, f"its weight file {inner} is missing")
        return found


def open_package(path: Path) -> Package:
    """Read a package's manifest and specification.

    Raises:
        RuntimeFailed: it is no package, is damaged, or holds something other than an ML program.
    """
    with quiet():
        from coremltools.proto import Model_pb2  # seconds
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model = _root_model(path)
    spec = Model_pb2.Model()
    try:
        spec.ParseFromString(model.read_bytes())
    except (DecodeError, OSError) as error:
        raise damaged(path, f"{model.name}: {error}") from error
    if spec.WhichOneof("Type") != "mlProgram":
        raise damaged(path, f"it holds {spec.WhichOneof('Type') or 'nothing'}, no ML program")
    return Package(path, model, spec)


def _root_model(path: Path) -> Path:
    try:
        manifest = json.loads((path / "Manifest.json").read_text(encoding="utf-8"))
        relative = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
        found = inside(path / "Data", str(relative))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, f"Manifest.json cannot be read: {type(error).__name__}: {error}") from error
    if found is None or not found.is_file():
        raise damaged(path, f"its manifest names {relative!r}, which is not in it")
    return found


def inside(directory: Path, relative: str) -> Path | None:
    """``directory / relative`` where that is truly in ``directory``, links followed; else None."""
    parts = PurePosixPath(relative)
    if parts.is_absolute() or ".." in parts.parts or "\0" in relative:
        return None
    found = (directory / parts).resolve()
    return found if found.is_relative_to(directory.resolve()) else None


def damaged(path: Path, why: str) -> RuntimeFailed:
    """The error of a package that cannot be used."""
    return RuntimeFailed(
        f"{path.name} is no usable Core ML package.", why=why, hint="Export it again, or restore it from its source."
    )
