"""Which packages a target needs, which of them are here, and how to get the rest. Imports none of them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edgetok.errors import MissingExtra, TargetRefuses

if TYPE_CHECKING:
    from edgetok.target import Target


def missing(modules: Iterable[str]) -> list[str]:
    """Those import names that no installed package provides."""
    return [module for module in modules if not _found(module)]


def pip_line(target: Target) -> str:
    """The command that installs what ``target`` needs."""
    return f"pip install 'edgetok[{target.extra}]'" if target.extra else f"pip install {' '.join(target.requires)}"


def require(target: Target) -> None:
    """Refuse a target whose packages are not installed, or whose device is not here.

    Raises:
        MissingExtra: naming the packages and the pip line.
        TargetRefuses: naming the device.
    """
    if lacking := missing(target.requires):
        raise MissingExtra(
            f"target {target.name!r} needs packages that are not installed",
            why=f"missing: {', '.join(lacking)}",
            hint=pip_line(target),
        )
    if not has_device(target):
        raise TargetRefuses(
            f"target {target.name!r} needs a device that is not here",
            why=f"torch sees no {target.device} device; files are compiled for the one that is seen",
            hint="run this on a machine that has one, or choose another target",
        )


def has_device(target: Target) -> bool:
    """Whether the hardware that exports for a target is on this machine; imports torch where that is asked."""
    if not target.device:
        return True
    import torch

    return torch.cuda.is_available()


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
