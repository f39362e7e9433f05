"""What is installed: plugins, exporters, targets, and whatever failed to load, each with its distribution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from edgetok.errors import EdgetokError, FindError, UnknownExporter, UnknownPlugin, UnknownTarget
from edgetok.options import build
from edgetok.suggest import hint
from edgetok.target_file import load_target_file

if TYPE_CHECKING:
    from edgetok.exporter import Exporter
    from edgetok.graph.labels import Rule
    from edgetok.model import Model
    from edgetok.plugin import Plugin
    from edgetok.target import Target

    ModelSource = Callable[[str], Model]
    AddRule = Callable[..., Callable[[Rule], Rule]]

T = TypeVar("T")


@dataclass(frozen=True)
class Found(Generic[T]):
    """Something installed, and the distribution that brought it (``"edgetok 0.1.0"``)."""

    name: str
    value: T
    distribution: str


@dataclass(frozen=True)
class Broken:
    """Something installed that cannot be used. ``error`` is what using it raises."""

    name: str
    kind: str
    distribution: str
    error: EdgetokError


@dataclass(frozen=True)
class Registry:
    """Everything the entry points of group ``edgetok`` provide, by name.

    Looking up a broken name raises the error that broke it; an unknown one suggests the nearest.
    """

    plugins: Mapping[str, Found[type[Plugin]]]
    exporters: Mapping[str, Found[type[Exporter]]]
    targets: Mapping[str, Found[Target]]
    sources: Mapping[str, Found[ModelSource]]
    label_rules: tuple[Found[Callable[[AddRule], None]], ...]
    broken: tuple[Broken, ...]

    def plugin(self, name: str, options: Mapping[str, Any] | None = None) -> Plugin:
        """The plugin of that name with these options.

        Raises:
            UnknownPlugin: nothing installed has that name.
            BrokenPlugin, ApiVersion: it is installed and cannot be used.
            BadOption: an option is unknown or has the wrong type.
        """
        if name not in self.plugins:
            self._missing(UnknownPlugin, "plugin", name, self.plugins)
        return build(self.plugins[name].value, options or {}, f"plugin {name!r}")

    def exporter(self, name: str) -> Exporter:
        """The exporter of that name.

        Raises:
            UnknownExporter: nothing installed has that name.
            BrokenPlugin, ApiVersion: it is installed and cannot be used.
        """
        if name not in self.exporters:
            self._missing(UnknownExporter, "exporter", name, self.exporters)
        return self.exporters[name].value()

    def target(self, ref: str) -> Target:
        """The target of that name or alias, or the one described by a ``.toml`` file.

        Raises:
            UnknownTarget: nothing installed has that name, or there is no such file.
            BadTarget: the file does not describe a target.
        """
        if ref.endswith(".toml"):
            return load_target_file(Path(ref))
        by_any_name = self.target_names()
        if ref not in by_any_name:
            self._missing(UnknownTarget, "target", ref, by_any_name)
        return self.targets[by_any_name[ref]].value

    def target_names(self) -> dict[str, str]:
        """Every name and alias with the name it stands for."""
        return {alias: name for name, t in self.targets.items() for alias in (name, *t.value.aliases)}

    def add_label_rules(self, rule: AddRule) -> None:
        """Let every distribution that has label rules add them through ``rule``, the decorator of ``edgetok.graph``."""
        for found in self.label_rules:
            found.value(rule)

    def _missing(self, error: type[FindError], kind: str, name: str, known: Iterable[str]) -> NoReturn:
        for broken in self.broken:
            if broken.name == name:
                raise broken.error
        also = "".join(f"; {b.name!r} is installed but broken" for b in self.broken)
        raise error(
            f"there is no {kind} {name!r}",
            why=f"no installed distribution provides it{also}",
            hint=hint(name, known, kind=kind),
        )


@cache
def installed() -> Registry:
    """The registry of this environment, loaded once.

    Raises:
        DuplicateName: two distributions use the same name.
    """
    from edgetok.discovery import discover

    return discover()
