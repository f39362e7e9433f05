"""``edgetok verify``: is this bundle whole, and does it still compute what it should here?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetok.cli.arguments import Json, Quiet
from edgetok.cli.output import emit, fields, show
from edgetok.progress import for_stderr

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A directory that `edgetok optimize` wrote.")]


def verify(bundle: BundlePath, as_json: Json = False, quiet: Quiet = False) -> None:
    """Check every hash of a bundle, then run it here against its recorded parity vectors."""
    from edgetok.session import verify_bundle

    parity = verify_bundle(bundle, progress=for_stderr(quiet=quiet))
    emit(parity) if as_json else show(fields(parity))
