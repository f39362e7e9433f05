"""A model as a package on disk: the same bytes for the same model."""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from edgetok.errors import ExportFailed
from edgetok.silence import quiet

DEBUG_FILE = "executorch_debug_handle_mapping.json"
_AREA = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def package_path(directory: Path, stem: str) -> Path:
    """Where a package goes; an older one there is removed.

    Raises:
        ExportFailed: the stem is no file name.
    """
    if Path(stem).name != stem or stem in ("", ".", ".."):
        raise ExportFailed(f"{stem!r} is not a file name", why="it would leave the output directory", hint="")
    path = directory / f"{stem}.mlpackage"
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    return path


def save(model: Any, path: Path) -> tuple[Path, ...]:
    """Write a model; returns the package and the files in it."""
    with quiet(), redirect_stderr(StringIO()):
        model.save(str(path))
    (path / DEBUG_FILE).unlink(missing_ok=True)
    return settled(path)


def settled(path: Path) -> tuple[Path, ...]:
    """Replace the random parts of a package by fixed ones; returns the package and the files in it.

    Core ML's manifest names its entries by random ids, and messages may be written in any order.
    """
    from coremltools.proto import Model_pb2

    manifest = path / "Manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    ids = {old: str(uuid.uuid5(_AREA, e["path"])).upper() for old, e in content["itemInfoEntries"].items()}
    content["itemInfoEntries"] = {ids[old]: entry for old, entry in content["itemInfoEntries"].items()}
    content["rootModelIdentifier"] = ids[content["rootModelIdentifier"]]
    manifest.write_text(json.dumps(content, indent=4, sort_keys=True) + "\n", encoding="utf-8")
    for file in path.rglob("*.mlmodel"):
        spec = Model_pb2.Model()
        spec.ParseFromString(file.read_bytes())
        file.write_bytes(spec.SerializeToString(deterministic=True))
        file.chmod(0o644)
    return (path, *sorted(file for file in path.rglob("*") if file.is_file()))
