"""The targets that come with edgetok: one TOML file each, and nothing else."""

from __future__ import annotations

from pathlib import Path

from edgetok.hookspecs import hookimpl

api_version = "1"


@hookimpl
def edgetok_targets() -> list[Path]:
    """Every ``*.toml`` beside this file."""
    return sorted(Path(__file__).parent.glob("*.toml"))
