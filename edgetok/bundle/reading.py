"""A bundle from disk: believed only after every path and hash in its manifest was checked."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgetok.bundle.manifest import MANIFEST, FileEntry, Manifest
from edgetok.bundle.writing import sha256
from edgetok.errors import BundleNotFound

_LARGEST = 64 * 1024 * 1024
"""A manifest is text; a larger one is not read."""


@dataclass(frozen=True)
class Bundle:
    """A directory whose files are what its manifest says."""

    path: Path
    manifest: Manifest

    def entry(self, component: str) -> Path:
        """The file a runtime opens for this component."""
        return self.path / self.manifest.component(component).file

    @property
    def recipe(self) -> Path:
        """The recipe that replays to this bundle."""
        return self.path / "recipe.yaml"

    @property
    def report(self) -> Path:
        """``report.json``."""
        return self.path / "report.json"


def read_bundle(path: Path) -> Bundle:
    """Read a bundle and check every file it lists.

    Raises:
        BundleNotFound: there is none, the manifest cannot be believed, or a file is missing, changed or a link.
    """
    manifest = _read_manifest(path)
    for entry in manifest.files:
        _check(path, entry)
    return Bundle(path, manifest)


def _read_manifest(directory: Path) -> Manifest:
    path = directory / MANIFEST
    try:
        if _size(directory, MANIFEST) > _LARGEST:
            raise _damaged(directory, f"{MANIFEST} is larger than {_LARGEST} bytes")
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BundleNotFound(
            f"{directory} is no edgetok bundle",
            why=f"it has no {MANIFEST}" if directory.is_dir() else "there is no such directory",
            hint="give the directory that `edgetok optimize -o` wrote",
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(directory, f"{MANIFEST}: {where or 'whole'}: {first['msg']}") from error
    except OSError as error:
        raise _damaged(directory, f"{MANIFEST}: {error.strerror}") from error


def _check(directory: Path, entry: FileEntry) -> None:
    try:
        size = _size(directory, entry.path)
        if size != entry.bytes:
            raise _damaged(directory, f"{entry.path} has {size} bytes, not {entry.bytes}")
        found = sha256(directory / entry.path)
    except OSError as error:
        raise _damaged(directory, f"{entry.path}: {error.strerror}") from error
    if found != entry.sha256:
        raise _damaged(directory, f"{entry.path} has sha256 {found[:12]}..., not {entry.sha256[:12]}...")


def _size(directory: Path, name: str) -> int:
    """The size of a regular file that no link leads to."""
    path = directory
    for part in name.split("/"):
        path = path / part
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise _damaged(directory, f"{path.relative_to(directory)} is a link")
    if not stat.S_ISREG(mode):
        raise _damaged(directory, f"{name} is no regular file")
    return path.lstat().st_size


def _damaged(directory: Path, why: str) -> BundleNotFound:
    return BundleNotFound(
        f"the bundle {directory} is damaged", why=why, hint="make it again: edgetok optimize -c recipe.yaml --force"
    )
