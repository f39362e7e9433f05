"""``edgetok optimize``: a model in, a verified bundle and its report out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetok.cli.arguments import (
    Batch,
    Json,
    Network,
    Plugins,
    Quiet,
    RecipeFile,
    Target,
    Threads,
    What,
    plugin_list,
    read_recipe,
)
from edgetok.cli.output import emit, show
from edgetok.errors import BadCommand
from edgetok.progress import for_stderr

if TYPE_CHECKING:
    from edgetok.session import Result

Output = Annotated[str | None, typer.Option("--output", "-o", metavar="DIRECTORY", help="Where the bundle shall be.")]
Eval = Annotated[
    str | None,
    typer.Option(
        "--eval", metavar="DATA", help="Measure on imagefolder:PATH, a folder with labels.tsv, or a .npy of tokens."
    ),
]
Calibrate = Annotated[
    str | None,
    typer.Option(
        "--calibrate",
        metavar="DATA",
        help="Find ranges of activations on this data: as --eval, or a folder of pictures.",
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Evaluate only the first samples.")]
NoBench = Annotated[bool, typer.Option("--no-bench", help="Do not measure latency.")]
AllowParity = Annotated[
    bool, typer.Option("--allow-parity-failure", help="Deliver even if the file computes something else; it is said.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a bundle that is there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; read no weights, write nothing.")]
Save = Annotated[Path | None, typer.Option("--save-recipe", metavar="FILE", help="Write the resolved recipe.")]


def optimize(
    what: What = None,
    config: RecipeFile = None,
    plugins: Plugins = None,
    target: Target = None,
    output: Output = None,
    evaluate: Eval = None,
    limit: Limit = None,
    calibrate: Calibrate = None,
    batch: Batch = None,
    threads: Threads = None,
    no_bench: NoBench = False,
    allow_parity_failure: AllowParity = False,
    allow_network: Network = False,
    force: Force = False,
    dry_run: DryRun = False,
    save_recipe: Save = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rewrite, export, verify and measure a model; write a bundle.

    edgetok optimize sample:vit_digits --plugins tome:r=8 --target onnx -o out
    """
    flags = {
        "plugins": plugin_list(plugins),
        "target": target,
        "output": output,
        "eval.data": evaluate,
        "eval.limit": limit,
        "calibration.data": calibrate,
        "bench.batches": batch or None,
        "bench.threads": threads,
        "bench.enabled": False if no_bench else None,
        "parity.allow_failure": True if allow_parity_failure else None,
    }
    recipe = read_recipe(what, config, flags)
    if recipe.output is None and not dry_run:
        raise BadCommand("no output is given", hint="-o DIRECTORY, or --dry-run to see the plan only")
    from edgetok.session import optimize as run

    progress = for_stderr(quiet=quiet)
    result = run(recipe, force=force, dry_run=dry_run, allow_network=allow_network, progress=progress)
    if save_recipe:
        _save(result, save_recipe)
    _show(result, as_json=as_json)


def _show(result: Result, *, as_json: bool) -> None:
    bundle = result.bundle.path if result.bundle else None
    if as_json:
        emit({"bundle": bundle, "plan": result.plan, "report": result.report})
    elif result.report is None:
        show(str(result.plan))
    else:
        from edgetok.report.terminal import render_table

        show(render_table(result.report), f"\nbundle: {bundle}", f"report: {bundle}/report.html")


def _save(result: Result, path: Path) -> None:
    from edgetok.errors import OutputNotWritable
    from edgetok.recipe_file import dump_recipe

    try:
        path.write_text(dump_recipe(result.recipe), encoding="utf-8")
    except OSError as error:
        raise OutputNotWritable(f"the recipe {path} cannot be written", why=str(error.strerror)) from error
