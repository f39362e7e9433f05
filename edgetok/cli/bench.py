"""``edgetok bench``: how fast is this bundle here?"""

from __future__ import annotations

from typing import Annotated

import typer

from edgetok.cli.arguments import Batch, Json, Quiet, Threads
from edgetok.cli.output import emit, fields, show
from edgetok.cli.verify import BundlePath
from edgetok.progress import for_stderr

Runs = Annotated[int | None, typer.Option("--runs", min=1, help="Measured runs per batch size.")]


def bench(
    bundle: BundlePath,
    batch: Batch = None,
    threads: Threads = None,
    runs: Runs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a bundle's latency here, with the settings of its recipe unless given."""
    from edgetok.session import bench_bundle

    given = {"batches": tuple(batch) if batch else None, "threads": threads, "runs": runs}
    changes = {name: value for name, value in given.items() if value is not None}
    measured = bench_bundle(bundle, changes=changes, progress=for_stderr(quiet=quiet))
    emit(measured) if as_json else show(fields(measured))
