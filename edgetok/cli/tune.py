"""``edgetok tune``: the schedule that reaches a goal, found by measuring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgetok.cli.arguments import (
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
from edgetok.cli.output import emit, show, table
from edgetok.progress import for_stderr

if TYPE_CHECKING:
    from edgetok.tune import Tuned

Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIRECTORY", help="New or empty; recipe and report.")]
MaxDrop = Annotated[
    float | None, typer.Option("--max-drop", min=0, help="Goal: at most so many points of accuracy, as fast as can be.")
]
Latency = Annotated[str | None, typer.Option("--latency", metavar="0.6x", help="Goal: at most this part of dense.")]
Tokens = Annotated[
    str | None, typer.Option("--tokens", metavar="40%", help="Goal: at most so many tokens, averaged over layers.")
]
Eval = Annotated[str | None, typer.Option("--eval", metavar="DATA", help="Labelled data that nothing is chosen on.")]
Calibrate = Annotated[
    str | None, typer.Option("--calibrate", metavar="DATA", help="Data to tune on; without it --eval is split.")
]
Samples = Annotated[int, typer.Option("--samples", min=4, help="Samples to tune on, at most.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Evaluate only the first samples.")]
Method = Annotated[
    Literal["search", "threshold", "gradient"],
    typer.Option("--method", help="Optuna; or one threshold, or rates by gradient, alone."),
]
Trials = Annotated[int, typer.Option("--trials", min=1, help="Trials of this process.")]
Storage = Annotated[
    str | None,
    typer.Option("--storage", metavar="FILE|URL", help="Keep the study: it is resumed, and joined by other processes."),
]
Study = Annotated[str, typer.Option("--study", metavar="NAME", help="Its name in the storage.")]
Sampler = Annotated[Literal["tpe", "nsga2"], typer.Option("--sampler", help="How Optuna proposes.")]
Runs = Annotated[int | None, typer.Option("--runs", min=5, help="Measured rounds.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the sampler; give each process its own.")]


def tune(
    output: Output,
    what: What = None,
    config: RecipeFile = None,
    plugins: Plugins = None,
    target: Target = None,
    max_drop: MaxDrop = None,
    latency: Latency = None,
    tokens: Tokens = None,
    evaluate: Eval = None,
    calibrate: Calibrate = None,
    samples: Samples = 256,
    limit: Limit = None,
    method: Method = "search",
    trials: Trials = 40,
    storage: Storage = None,
    study: Study = "edgetok",
    sampler: Sampler = "tpe",
    seed: Seed = 0,
    runs: Runs = None,
    threads: Threads = None,
    allow_network: Network = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the schedule of a token reduction that reaches a goal; write a recipe and a report.

    edgetok tune MODEL --plugins tome --latency 0.6x --calibrate PICTURES --eval imagefolder:PATH -o tuned
    """
    flags = {
        "plugins": plugin_list(plugins),
        "target": target,
        "eval.data": evaluate,
        "eval.limit": limit,
        "calibration.data": calibrate,
        "bench.threads": threads,
        "bench.runs": runs,
    }
    recipe = read_recipe(what, config, flags)
    from edgetok.tune import StudySettings, read_goal
    from edgetok.tune import tune as run

    found = run(
        recipe,
        read_goal(max_drop, latency, tokens),
        output,
        method=method,
        settings=StudySettings(trials, storage, study, sampler, seed),
        samples=samples,
        allow_network=allow_network,
        progress=for_stderr(quiet=quiet),
    )
    emit(found) if as_json else _show(found, output)


def _show(found: Tuned, output: Path) -> None:
    rows = [
        (name, " ".join(map(str, each.tokens)), *map(_text, (each.latency, each.kl, each.drop)))
        for name, each in (("found", found.found), ("constant r", found.constant))
    ]
    show(table(("", "tokens after each attention", "latency", "KL", "drop"), rows), "", found.verdict)
    if found.shortfall is not None:
        show(found.shortfall)
    show(f"recipe: {output}/recipe.yaml", f"report: {output}/tune.html")


def _text(value: object) -> str:
    if value is None:
        return "-"
    figure = value if isinstance(value, float) else getattr(value, "value", None)
    return f"{figure:.4g}" if isinstance(figure, float) else str(value)
