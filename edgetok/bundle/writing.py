"""What a finished bundle holds is listed and hashed here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from edgetok.bundle.manifest import MANIFEST, FileEntry, FileRole, Manifest

_ROLES: Mapping[str, FileRole] = {
    "recipe.yaml": "recipe",
    "report.json": "report",
    "report.html": "report",
    "README.md": "card",
}
"""Files every bundle may have, by their fixed names."""


def sha256(path: Path) -> str:
    """The hash of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(directory: Path, roles: Mapping[str, FileRole] | None = None) -> tuple[FileEntry, ...]:
    """Every file under ``directory`` but the manifest, sorted, hashed, with its role.

    Args:
        directory: the bundle being written.
        roles: by relative path, for files whose role the fixed names do not tell.
    """
    known = {**_ROLES, **(roles or {})}
    found = sorted(path for path in directory.rglob("*") if path.is_file())
    names = {path.relative_to(directory).as_posix(): path for path in found}
    return tuple(
        FileEntry(path=name, sha256=sha256(path), bytes=path.stat().st_size, role=known.get(name, "other"))
        for name, path in names.items()
        if name != MANIFEST
    )


def write_manifest(directory: Path, manifest: Manifest) -> Path:
    """Write ``manifest.json``, the last file of a bundle."""
    path = directory / MANIFEST
    path.write_text(manifest.model_dump_json(indent=2, by_alias=True) + "\n", encoding="utf-8", newline="\n")
    return path
