"""A page per built-in plugin, from its class."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from docs.generate.markdown import code, table
from docs.generate.types import spelled

if TYPE_CHECKING:
    from edgetok.plugin import Plugin

SKELETON = """\
# {name}

<!-- generated: plugin {name} -->
<!-- end -->
"""


def built_in() -> dict[str, type[Plugin]]:
    """The plugins that edgetok itself brings, by name."""
    from edgetok.registry import installed

    found = installed().plugins
    return {name: found[name].value for name in sorted(found) if found[name].distribution.split()[0] == "edgetok"}


def names() -> list[str]:
    """Their names."""
    return list(built_in())


def skeleton(name: str) -> str:
    """A page for a plugin that has none yet."""
    return SKELETON.format(name=name)


def options(plugin: type[Plugin]) -> str:
    """One row per option."""
    rows = []
    for name, field in plugin.model_fields.items():
        default = "required" if field.is_required() else code(field.get_default(call_default_factory=True))
        rows.append((code(name), code(spelled(field.annotation)), default, field.description or ""))
    return table(("option", "type", "default", "meaning"), rows)


def page(plugin: type[Plugin]) -> str:
    """Summary, source, what the class says of itself, options, and where it stands among others."""
    tags = [(kind, ", ".join(code(tag) for tag in getattr(plugin, kind))) for kind in ("after", "changes", "excludes")]
    order = "\n".join(f"- {kind}: {listed}" for kind, listed in tags if listed)
    return (
        f"{plugin.summary}\n\nSource: {plugin.paper}\n\n{inspect.getdoc(plugin) or ''}\n\n"
        f"## Options\n\n{options(plugin)}\n"
        f"## Order\n\nStages: {', '.join(plugin.stages)}.\n\n{order}\n"
    )


def index() -> str:
    """One row per plugin, for a page in docs/."""
    rows = [(f"[{name}](plugins/{name}.md)", plugin.summary, plugin.paper) for name, plugin in built_in().items()]
    return table(("plugin", "what it does", "source"), rows)


def blocks() -> dict[str, Callable[[], str]]:
    """``plugins`` and, for each of them, ``plugin NAME``."""
    pages = {f"plugin {name}": (lambda plugin=plugin: page(plugin)) for name, plugin in built_in().items()}
    return {"plugins": index, **pages}
