"""``edgetok targets list`` and ``edgetok targets info NAME``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgetok.cli.arguments import Json, Network, Plugins, Quiet, RecipeFile, What, plugin_list, read_recipe
from edgetok.cli.output import emit, fields, show, table
from edgetok.cli.plugins import broken_rows, show_broken
from edgetok.progress import for_stderr
from edgetok.registry import installed
from edgetok.requirements import missing, pip_line

if TYPE_CHECKING:
    from edgetok.session.targets import TargetCheck
    from edgetok.target import Placement

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


@targets.command("check")
def check(
    what: What = None,
    config: RecipeFile = None,
    plugins: Plugins = None,
    only: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="Only this target; may be given more than once.")
    ] = None,
    allow_network: Network = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what each target makes of a model: which operations run where it wants them, and where it is cut.

    edgetok targets check sample:vit_digits --plugins tome:r=8
    """
    registry = installed()
    chosen = [registry.target(name) for name in only] if only else [f.value for f in registry.targets.values()]
    recipe = read_recipe(what, config, {"plugins": plugin_list(plugins)})
    from edgetok.session.targets import check_targets

    found = check_targets(recipe, chosen, allow_network=allow_network, progress=for_stderr(quiet=quiet))
    if as_json:
        emit(found)
        return
    _show_check(found)


_MARKS: dict[Placement, str] = {"native": "+", "fallback": "~", "unsupported": "X"}


def _show_check(found: TargetCheck) -> None:
    rows = _rows(found)
    names = [f.target for f in found.forecasts]
    show(table(("operation", "of", *names), [(op, maker, *cells) for (op, maker), cells in sorted(rows.items())]))
    show("", "numbers: how many; + runs where the target wants it, ~ runs elsewhere, X not at all", "")
    summary = [
        (f.target, *(str(f.count(p)) for p in _MARKS), str(f.partitions), f.source or "no table")
        for f in found.forecasts
    ]
    show(table(("target", *_MARKS, "partitions", "known from"), summary))
    schemes = sorted({f.precision for f in found.forecasts if f.precision})
    if schemes:
        show("", f"of the program in floating point: what quantising it ({', '.join(schemes)}) cuts is not forecast")
    reasons = {row.op: f"{f.target}: {row.op}: {row.why}" for f in found.forecasts for row in f.ops if row.why}
    show(*([""] if reasons else []), *reasons.values())
    show(*(f"{target} refuses: {why}" for target, why in found.refused.items()))


def _rows(found: TargetCheck) -> dict[tuple[str, str], list[str]]:
    """A row of cells per operation and maker, one cell per target."""
    keys = {(row.op, row.maker) for forecast in found.forecasts for row in forecast.ops}
    cells = [{(r.op, r.maker): f"{r.count}{_MARKS[r.placement]}" for r in f.ops} for f in found.forecasts]
    return {key: [column.get(key, "") for column in cells] for key in keys}
