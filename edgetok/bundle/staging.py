"""A directory appears complete or not at all: it is built beside its destination and renamed at the end."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgetok.bundle.manifest import MANIFEST
from edgetok.errors import DiskFull, EdgetokError, OutputExists, OutputNotWritable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOTHING_LEFT = 16 * 1024
"""Bytes: with less than this free, a failure that names no cause is put down to the full disk."""


def check_output(path: Path, *, force: bool = False, need: int = 0) -> None:
    """Find out before any work whether ``path`` can become a bundle; leaves nothing behind.

    Args:
        path: where the bundle shall be.
        force: whether a bundle that is there may be replaced.
        need: bytes the bundle will take, where known.

    Raises:
        OutputExists: something is there, and is no bundle or ``force`` is not given.
        OutputNotWritable: no directory can be made there.
        DiskFull: less than ``need`` bytes are free.
    """
    path = _absolute(path)
    _check_free(path, force)
    parent = _existing_parent(path)
    probe = _beside(parent / path.name, "probe")
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise _translate(error, path) from error
    free = shutil.disk_usage(parent).free
    if free < need:
        raise _full(path, f"{_mb(need)} are needed, {_mb(free)} are free")


@contextmanager
def staged(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Give an empty directory; when the block ends well it becomes ``path``, otherwise it is removed.

    With ``force`` a bundle that is there is replaced at the very end; after any failure, Ctrl-C included, what was
    there is still there.

    Raises:
        OutputExists, OutputNotWritable, DiskFull: as ``check_output``, and when these happen inside the block.
    """
    path = _absolute(path)
    check_output(path, force=force)
    made = _make_parents(path)
    stage = _beside(path, "partial")
    try:
        stage.mkdir()
        yield stage
        _commit(stage, path, force)
    except BaseException as error:
        told = _cause(error, stage, path)
        shutil.rmtree(stage, ignore_errors=True)
        for parent in made:
            _remove_if_empty(parent)
        if told is not None:
            raise told from error
        raise


def _absolute(path: Path) -> Path:
    """Links on the way are followed; the last part, which may itself be a link, is kept."""
    return path.parent.resolve() / path.name if path.name not in {"", ".."} else path.resolve()


def _check_free(path: Path, force: bool) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputExists(f"{path} exists and is no directory", hint="choose another output with -o")
    if not path.is_dir() or _is_empty(path):
        return
    if not force:
        raise OutputExists(f"{path} exists", hint="choose another output with -o, or replace it with --force")
    if not (path / MANIFEST).is_file():
        raise OutputExists(
            f"{path} exists and is no bundle",
            why=f"it holds files but no {MANIFEST}; --force replaces bundles only",
            hint="choose another output with -o",
        )


def _is_empty(path: Path) -> bool:
    try:
        return not any(path.iterdir())
    except OSError as error:
        raise _translate(error, path) from error


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if os.path.lexists(parent))


def _make_parents(path: Path) -> list[Path]:
    """Make missing parents; the ones made, innermost first."""
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _translate(error, path) from error
    return missing


def _commit(stage: Path, path: Path, force: bool) -> None:
    _check_free(path, force)
    if not path.exists():
        stage.rename(path)
        return
    old = _beside(path, "old")
    try:
        path.rename(old)
        stage.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{kind}")


def _remove_if_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        return


def _cause(error: BaseException, stage: Path, path: Path) -> EdgetokError | None:
    """The error to tell in place of ``error``, when the output's disk or rights are behind it."""
    if isinstance(error, EdgetokError) or not isinstance(error, Exception):
        return None
    if isinstance(error, OSError) and error.errno in _FULL:
        return _full(path, str(error))
    if isinstance(error, OSError) and str(error.filename or "").startswith(str(stage)):
        return _translate(error, path)
    return _full(path, str(error)) if _nothing_left(path.parent) else None


def _nothing_left(directory: Path) -> bool:
    try:
        return shutil.disk_usage(directory).free < _NOTHING_LEFT
    except OSError:
        return False


def _translate(error: OSError, path: Path) -> EdgetokError:
    if error.errno in _FULL:
        return _full(path, str(error.strerror))
    return OutputNotWritable(
        f"{path} cannot be written", why=f"{error.strerror}: {error.filename}", hint="choose another output with -o"
    )


def _full(path: Path, why: str) -> DiskFull:
    return DiskFull(
        f"there is not enough space for {path}", why=why, hint="free some space, or choose another disk with -o"
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
