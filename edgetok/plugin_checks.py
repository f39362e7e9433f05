"""What an installed plugin, exporter or target must be before it is listed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgetok.errors import ApiVersion, BrokenPlugin, DuplicateName
from edgetok.plugin import API_VERSION, Plugin


def check_api(name: str, declared: object, distribution: str) -> None:
    """Refuse a package written for another API version, or that does not say for which it was written.

    Raises:
        ApiVersion: naming the distribution and both versions.
    """
    if declared == API_VERSION:
        return
    said = "states no api_version" if declared is None else f"was written for API version {declared!r}"
    raise ApiVersion(
        f"{name!r} of {distribution} does not fit this edgetok",
        why=f"it {said}; this edgetok has API version {API_VERSION!r}",
        hint=f"pip install --upgrade {distribution.split()[0]}; its author: set api_version = {API_VERSION!r} in the "
        "entry point's module once it fits",
    )


def declared_api(cls: type) -> object:
    """The ``api_version`` that a class itself or a foreign base states; edgetok's own bases do not count."""
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] != "edgetok" and "api_version" in base.__dict__:
            return base.__dict__["api_version"]
    return None


def check_plugin_class(cls: Any) -> None:
    """Refuse what is no plugin class.

    Raises:
        BrokenPlugin: naming what the class lacks.
    """
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        raise BrokenPlugin(f"{cls!r} is no plugin", why="it is no subclass of edgetok.plugin.Plugin")
    _check_attributes("plugin", cls, ("name", "summary", "paper", "stages"))


def check_exporter_class(cls: Any) -> None:
    """Refuse what is no exporter class.

    Raises:
        BrokenPlugin: naming what the class lacks.
    """
    if not isinstance(cls, type):
        raise BrokenPlugin(f"{cls!r} is no exporter", why="an exporter is a class; see edgetok.exporter.Exporter")
    _check_attributes("exporter", cls, ("name", "summary", "suffix", "Options", "export", "load"))


def _check_attributes(kind: str, cls: type, wanted: tuple[str, ...]) -> None:
    missing = [attribute for attribute in wanted if not getattr(cls, attribute, None)]
    if missing:
        raise BrokenPlugin(f"{kind} class {cls.__name__} is incomplete", why=f"it has no {', '.join(missing)}")
    name = cls.name  # type: ignore[attr-defined]
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise BrokenPlugin(f"{kind} name {name!r} is not kebab-case", hint="use lower-case letters, digits and '-'")


def check_aliases(names: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    """Refuse an alias that is another target's name or alias. ``names``: name -> (distribution, aliases).

    Raises:
        DuplicateName: naming both distributions.
    """
    taken = {name: distribution for name, (distribution, _) in names.items()}
    for distribution, aliases in names.values():
        for alias in aliases:
            if alias in taken:
                raise duplicate("target", alias, taken[alias], distribution)
            taken[alias] = distribution


def duplicate(kind: str, name: str, first: str, second: str) -> DuplicateName:
    """Two distributions want one name."""
    return DuplicateName(
        f"two distributions provide a {kind} named {name!r}",
        why=f"{first} and {second}",
        hint=f"uninstall one of them: pip uninstall {second.split()[0]}",
    )
