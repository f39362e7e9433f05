"""``optimize``: a model in, a verified bundle and its report out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetok.bundle import check_output, staged
from edgetok.errors import BadCommand
from edgetok.recipe import PluginUse, Recipe
from edgetok.session.clock import Clock
from edgetok.session.prepare import Prepared, check_installed, find_tools, prepare, with_weights
from edgetok.session.result import Result

if TYPE_CHECKING:
    from edgetok.model import Model
    from edgetok.plugin import Plugin
    from edgetok.progress import Progress


def optimize(
    recipe: Recipe,
    *,
    model: Model | None = None,
    plugins: Sequence[Plugin] | None = None,
    data: Iterable[tuple[Any, int]] | Callable[[], Iterable[tuple[Any, int]]] | None = None,
    force: bool = False,
    dry_run: bool = False,
    allow_network: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Plan, rewrite, export, verify, evaluate and measure; write the bundle to ``recipe.output``.

    Args:
        recipe: what to do.
        model: in place of loading ``recipe.model``.
        plugins: configured plugins, in place of ``recipe.plugins``.
        data: labelled samples ``(inputs, class index)`` for the evaluation, in place of ``recipe.eval.data``.
        force: replace a bundle that is there.
        dry_run: stop at the plan: no weights are read, nothing is written.
        allow_network: let model sources use the network.
        progress: where to show progress; silent by default.

    Raises:
        EdgetokError: with a code, a cause and a hint; nothing is left on disk.
    """
    from edgetok.progress import Silent

    clock = Clock(progress or Silent())
    tools = find_tools(recipe, plugins)
    if not dry_run:
        _check(recipe, force)
        check_installed(tools)
    prepared = prepare(recipe, tools, model, clock, allow_network=allow_network)
    resolved = resolve(prepared)
    if dry_run:
        return Result(resolved, prepared.plan)
    from edgetok.session.deliver import deliver

    with (
        tempfile.TemporaryDirectory(prefix="edgetok-") as scratch,
        staged(Path(str(recipe.output)), force=force) as stage,
    ):
        report = deliver(with_weights(prepared), resolved, stage, Path(scratch), clock, data)
    from edgetok.bundle import read_bundle

    return Result(resolved, prepared.plan, read_bundle(Path(str(recipe.output))), report)


def _check(recipe: Recipe, force: bool) -> None:
    if recipe.output is None:
        raise BadCommand("No output is given.", hint="Name a directory for the bundle (-o DIRECTORY).")
    check_output(Path(recipe.output), force=force)


def resolve(prepared: Prepared) -> Recipe:
    """The recipe with every plugin option written out and the plan's digest."""
    uses = tuple(PluginUse(name=p.name, options=p.options()) for p in prepared.tools.plugins)
    changes = {"plugins": uses, "target": prepared.tools.target.name, "plan_digest": prepared.plan.digest}
    return prepared.recipe.model_copy(update=changes)
