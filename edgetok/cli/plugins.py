"""``edgetok plugins list`` and ``edgetok plugins info NAME``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetok.cli.arguments import Json
from edgetok.cli.output import emit, plain, show, table
from edgetok.options import type_name
from edgetok.registry import Broken, Found, Registry, installed

if TYPE_CHECKING:
    from edgetok.plugin import Plugin

plugins = typer.Typer(name="plugins", no_args_is_help=True, help="Show the installed plugins and their options.")


@plugins.command("list")
def list_(as_json: Json = False) -> None:
    """List the installed plugins, and those that fail to load."""
    registry = installed()
    if as_json:
        emit({"plugins": list(map(_row, registry.plugins.values())), "broken": broken_rows(registry)})
        return
    rows = [(f.name, ", ".join(f.value.stages), f.value.summary, f.distribution) for f in registry.plugins.values()]
    show(table(("plugin", "stages", "what it does", "from"), rows))
    show_broken(registry.broken)


@plugins.command("info")
def info(name: Annotated[str, typer.Argument(help="Name of a plugin.")], as_json: Json = False) -> None:
    """Show a plugin's options, source paper and order tags."""
    registry = installed()
    if name not in registry.plugins:
        registry.plugin(name)
    found = registry.plugins[name]
    details = _details(found)
    if as_json:
        emit(details)
        return
    head = ("summary", "paper", "from", "stages", "after", "changes", "excludes")
    show(table(("", ""), [(key, _text(details[key])) for key in head if details[key]]), "")
    options = [(o["name"], o["type"], o["default"], o["description"]) for o in details["options"]]
    show(table(("option", "type", "default", "meaning"), options) if options else "It has no options.")
    if details["description"]:
        show("", details["description"])


def _row(found: Found[type[Plugin]]) -> dict[str, Any]:
    cls = found.value
    return {"name": found.name, "stages": list(cls.stages), "summary": cls.summary, "from": found.distribution}


def _details(found: Found[type[Plugin]]) -> dict[str, Any]:
    cls = found.value
    tags = {"after": list(cls.after), "changes": list(cls.changes), "excludes": list(cls.excludes)}
    return {
        **_row(found),
        **tags,
        "paper": cls.paper,
        "options": list(map(_option, cls.model_fields.items())),
        "description": inspect.getdoc(cls) or "",
    }


def _option(item: tuple[str, Any]) -> dict[str, Any]:
    name, field = item
    default = "required" if field.is_required() else repr(plain(field.get_default(call_default_factory=True)))
    return {
        "name": name,
        "type": type_name(field.annotation),
        "default": default,
        "description": field.description or "",
    }


def broken_rows(registry: Registry) -> list[dict[str, Any]]:
    """What failed to load, as plain data."""
    return [{"name": b.name, "kind": b.kind, "from": b.distribution, **b.error.as_dict()} for b in registry.broken]


def show_broken(broken: tuple[Broken, ...]) -> None:
    """Say what failed to load, and why."""
    if broken:
        rows = [(b.name, b.kind, b.distribution, f"{b.error.code}: {b.error.why or b.error.what}") for b in broken]
        show("", table(("broken", "kind", "from", "why"), rows))


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
