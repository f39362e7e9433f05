"""``edgetok targets list`` and ``edgetok targets info NAME``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgetok.cli.arguments import Json
from edgetok.cli.output import emit, fields, show, table
from edgetok.cli.plugins import broken_rows, show_broken
from edgetok.registry import installed
from edgetok.requirements import missing, pip_line

targets = typer.Typer(name="targets", no_args_is_help=True, help="Show the installed targets.")


@targets.command("list")
def list_(as_json: Json = False) -> None:
    """List the installed targets."""
    registry = installed()
    found = registry.targets.values()
    if as_json:
        rows = [{**f.value.model_dump(include={"name", "aliases", "summary"}), "from": f.distribution} for f in found]
        emit({"targets": rows, "broken": broken_rows(registry)})
        return
    columns = ("target", "also called", "what it is", "from")
    show(table(columns, [(f.name, ", ".join(f.value.aliases), f.value.summary, f.distribution) for f in found]))
    show_broken(registry.broken)


@targets.command("info")
def info(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE.toml", help="Name, alias or file of a target.")],
    as_json: Json = False,
) -> None:
    """Show everything a target says, and what it lacks here."""
    target = installed().target(name)
    lacking = missing(target.requires)
    if as_json:
        emit({**target.model_dump(mode="json"), "missing": lacking})
        return
    show(fields(target))
    if lacking:
        show("", f"not installed here: {', '.join(lacking)}; {pip_line(target)}")
