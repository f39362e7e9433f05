"""Options that several commands share, and how they become a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetok.errors import BadCommand
from edgetok.options import parse_uses

if TYPE_CHECKING:
    from edgetok.recipe import Recipe

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Network = Annotated[bool, typer.Option("--allow-network", help="Let a hub be asked for what is not on this machine.")]
RecipeFile = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="RECIPE", help="A recipe to start from (YAML).")
]
What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL] [KEY=VALUE]...",
        help="A transformers directory, FILE.pt2, package.module:factory, timm:NAME or sample:NAME; "
        "then changes to the recipe, e.g. plugins.tome.r=12 exporter.dtype=fp16.",
    ),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugins", "-p", metavar="NAME:OPTION=VALUE,...", help="Plugins with options, e.g. tome:r=8."),
]
Target = Annotated[
    str | None, typer.Option("--target", "-t", metavar="NAME|FILE.toml", help="Where the model will run.")
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads of the runtime in measurements.")]
Batch = Annotated[list[int] | None, typer.Option("--batch", min=1, help="Batch size to measure; may be repeated.")]


def read_recipe(what: Sequence[str] | None, config: Path | None, flags: Mapping[str, Any]) -> Recipe:
    """Build the recipe of a command: the file if given, changed by flags, then by ``key=value`` arguments.

    Args:
        what: the free arguments: at most one model, and overrides.
        config: a recipe file.
        flags: by dotted key; None is a flag that was not given.

    Raises:
        BadCommand: there is no model, or more than one.
        BadRecipe, BadOption: the recipe, an override or ``--plugins`` cannot be read.
    """
    from edgetok.recipe_file import is_override, load_recipe, make_recipe, parse_override

    overrides = [text for text in what or () if is_override(text)]
    models = [text for text in what or () if text not in overrides]
    if len(models) > 1:
        raise BadCommand(
            f"one model is wanted, not {len(models)}", why=", ".join(models), hint="write changes as KEY=VALUE"
        )
    changes = {key: value for key, value in flags.items() if value is not None}
    changes |= {"model": models[0]} if models else {}
    changes |= dict(map(parse_override, overrides))
    if config:
        return load_recipe(config, changes)
    if not models:
        raise BadCommand("no model is given", hint="edgetok optimize MODEL ..., or -c RECIPE")
    return make_recipe({}, changes, source="command line")


def plugin_list(texts: Sequence[str] | None) -> list[dict[str, Any]] | None:
    """What all ``--plugins`` say together; None if there is none."""
    if texts is None:
        return None
    return [{"name": name, "options": options} for name, options in parse_uses(",".join(texts)).items()]
