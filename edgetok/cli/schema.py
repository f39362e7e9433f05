"""``edgetok schema``: the JSON Schema of one of edgetok's files."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from edgetok.cli.arguments import Json
from edgetok.cli.output import emit
from edgetok.errors import BadCommand
from edgetok.schemas import NAMES, schema_text
from edgetok.suggest import hint


def schema(
    name: Annotated[str, typer.Argument(metavar="|".join(NAMES), help="Which file.")], as_json: Json = False
) -> None:
    """Print the JSON Schema of recipes, manifests, reports, targets or tunings."""
    if name not in NAMES:
        raise BadCommand(f"there is no schema {name!r}", hint=hint(name, NAMES, kind="schema"))
    emit(json.loads(schema_text(name)))
