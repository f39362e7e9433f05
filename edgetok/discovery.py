"""Entry points to registry: built-in and foreign plugins, exporters and targets come through this one door."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from edgetok import hookspecs
from edgetok.errors import BrokenPlugin, EdgetokError
from edgetok.plugin_checks import (
    check_aliases,
    check_api,
    check_exporter_class,
    check_plugin_class,
    declared_api,
    duplicate,
)
from edgetok.registry import Broken, Found, Registry
from edgetok.target_file import load_target_file

if TYPE_CHECKING:
    from edgetok.target import Target

GROUP = "edgetok"

T = TypeVar("T")


def discover(found: Iterable[EntryPoint] | None = None) -> Registry:
    """Load entry points (all of group ``edgetok`` unless given) into a registry.

    What cannot be loaded is kept as broken, with its error, and harms nothing else.

    Raises:
        DuplicateName: two distributions use the same name.
    """
    return _Discovery(entry_points(group=GROUP) if found is None else found).registry()


def owner(point: EntryPoint) -> str:
    """The distribution of an entry point, as ``"name version"``."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"


class _Discovery:
    """One run of loading; ``broken`` collects what failed."""

    def __init__(self, found: Iterable[EntryPoint]) -> None:
        self.broken: list[Broken] = []
        self.manager = pluggy.PluginManager("edgetok")
        self.manager.add_hookspecs(hookspecs)
        self.points = {_key(point): point for point in sorted(found, key=_key)}
        for point in self.points.values():
            self._guard(point, point.name, "package", partial(self._register, point))

    def registry(self) -> Registry:
        targets = _unique("target", self._targets())
        check_aliases({name: (t.distribution, t.value.aliases) for name, t in targets.items()})
        return Registry(
            plugins=_unique("plugin", self._classes("edgetok_plugins", "plugin", check_plugin_class)),
            exporters=_unique("exporter", self._classes("edgetok_exporters", "exporter", check_exporter_class)),
            targets=targets,
            sources=_unique("model source", self._sources()),
            label_rules=tuple(Found(p.name, f, owner(p)) for p, f in self._hooks("edgetok_label_rules")),
            broken=tuple(self.broken),
        )

    def _register(self, point: EntryPoint) -> None:
        module = point.load()
        declared = getattr(module, "api_version", None)
        if declared is not None:
            check_api(point.name, declared, owner(point))
        self.manager.register(module, name=_key(point))
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError:
            self.manager.unregister(module)
            raise

    def _guard(self, point: EntryPoint, name: str, kind: str, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except EdgetokError as error:
            self.broken.append(Broken(name, kind, owner(point), error))
        except (Exception, SystemExit) as error:
            self.broken.append(Broken(name, kind, owner(point), _failed(kind, name, point, error)))
        return None

    def _hooks(self, hook: str) -> Iterator[tuple[EntryPoint, Callable[..., Any]]]:
        for impl in sorted(getattr(self.manager.hook, hook).get_hookimpls(), key=lambda impl: impl.plugin_name):
            yield self.points[impl.plugin_name], impl.function

    def _provided(self, hook: str, kind: str) -> Iterator[tuple[EntryPoint, Any]]:
        for point, function in self._hooks(hook):
            provided = self._guard(point, point.name, kind, lambda function=function: list(function()))  # type: ignore[misc]
            for value in provided or ():
                yield point, value

    def _classes(self, hook: str, kind: str, check: Callable[[Any], None]) -> Iterator[Found[Any]]:
        for point, cls in self._provided(hook, kind):
            name = str(getattr(cls, "name", None) or getattr(cls, "__name__", cls))
            if self._guard(point, name, kind, partial(self._check_class, point, cls, check)):
                yield Found(name, cls, owner(point))

    def _check_class(self, point: EntryPoint, cls: Any, check: Callable[[Any], None]) -> bool:
        check(cls)
        stated = getattr(self.manager.get_plugin(_key(point)), "api_version", None)
        check_api(cls.name, declared_api(cls) or stated, owner(point))
        return True

    def _targets(self) -> Iterator[Found[Target]]:
        for point, path in self._provided("edgetok_targets", "target"):
            target = self._guard(point, Path(path).stem, "target", partial(load_target_file, Path(path)))
            if target is not None:
                yield Found(target.name, target, owner(point))

    def _sources(self) -> Iterator[Found[Any]]:
        for point, function in self._hooks("edgetok_model_sources"):
            loaders = self._guard(point, point.name, "model source", function)
            yield from (Found(prefix, load, owner(point)) for prefix, load in (loaders or {}).items())


def _key(point: EntryPoint) -> str:
    return f"{owner(point)}:{point.name}"


def _unique(kind: str, items: Iterable[Found[T]]) -> dict[str, Found[T]]:
    by_name: dict[str, Found[T]] = {}
    for item in items:
        if item.name in by_name:
            raise duplicate(kind, item.name, by_name[item.name].distribution, item.distribution)
        by_name[item.name] = item
    return dict(sorted(by_name.items()))


def _failed(kind: str, name: str, point: EntryPoint, error: BaseException) -> BrokenPlugin:
    text = " ".join(str(error).split())
    return BrokenPlugin(
        f"{kind} {name!r} of {owner(point)} failed to load",
        why=f"{type(error).__name__}: {text[:300] or 'no message'} (while loading {point.value})",
        hint=f"upgrade or uninstall it: pip uninstall {owner(point).split()[0]}",
    )
