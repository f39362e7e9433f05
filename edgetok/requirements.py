"""Which packages a target needs, which of them are here, and how to get the rest. Imports none of them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edgetok.errors import MissingExtra

if TYPE_CHECKING:
    from edgetok.target import Target


def missing(modules: Iterable[str]) -> list[str]:
    """Those import names that no installed package provides."""
    return [module for module in modules if not _found(module)]


def pip_line(target: Target) -> str:
    """The command that installs what ``target`` needs."""
    return f"pip install 'edgetok[{target.extra}]'" if target.extra else f"pip install {' '.join(target.requires)}"


def require(target: Target) -> None:
    """Refuse a target whose packages are not installed.

    Raises:
        MissingExtra: naming the packages and the pip line.
    """
    if lacking := missing(target.requires):
        raise MissingExtra(
            f"target {target.name!r} needs packages that are not installed",
            why=f"missing: {', '.join(lacking)}",
            hint=pip_line(target),
        )


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
