"""Targets from TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from edgetok.errors import BadTarget, UnknownTarget
from edgetok.suggest import first_mistake, nearest
from edgetok.target import Target

_LARGEST = 64 * 1024
"""A target is a page of text; anything larger is a mistake."""


def load_target_file(path: Path) -> Target:
    """Read one target.

    Raises:
        UnknownTarget: there is no such file.
        BadTarget: the file is not TOML, or does not describe a target.
    """
    try:
        return Target.model_validate(tomllib.loads(_read(path)))
    except tomllib.TOMLDecodeError as error:
        raise BadTarget(f"target file {path} is not TOML", why=str(error), hint="see https://toml.io") from error
    except ValidationError as error:
        raise _invalid(path, error) from error


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise BadTarget(f"target file {path} is too large", why=f"it has more than {_LARGEST} bytes")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadTarget(f"target file {path} is not UTF-8 text", why=str(error)) from error
    except OSError as error:
        raise UnknownTarget(
            f"target file {path} cannot be read",
            why=str(error.strerror),
            hint="`edgetok targets list` shows those that are installed",
        ) from error


def _invalid(path: Path, error: ValidationError) -> BadTarget:
    first = first_mistake(error)
    where = ".".join(str(part) for part in first["loc"])
    near = nearest(where, Target.model_fields) if first["type"] == "extra_forbidden" else None
    hint = f"did you mean {near!r}?" if near else f"fields of a target: {', '.join(Target.model_fields)}"
    return BadTarget(
        f"target file {path} does not describe a target", why=f"{where or 'file'}: {first['msg']}", hint=hint
    )
