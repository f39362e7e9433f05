"""``optimize``: a model in, a verified bundle and its report out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.bundle import check_output, staged
from edgetok.errors import BadCommand, OutputExists, OutputNotWritable
from edgetok.recipe import ParitySettings, PluginUse, Recipe
from edgetok.session.clock import Clock
from edgetok.session.interface import dtype_of
from edgetok.session.prepare import Prepared, check_installed, find_tools, prepare, with_weights
from edgetok.session.refusals import refuse_program
from edgetok.session.result import Result

if TYPE_CHECKING:
    from edgetok.model import Model
    from edgetok.plugin import Plugin
    from edgetok.progress import Progress
    from edgetok.session.evidence import Pairs


def optimize(
    recipe: Recipe,
    *,
    model: Model | None = None,
    plugins: Sequence[Plugin] | None = None,
    data: Pairs | None = None,
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
        check_installed(tools, recipe)
    with clock.interruptible():
        prepared = prepare(recipe, tools, model, clock, allow_network=allow_network)
        prepared = refuse_program(prepared, clock)
        resolved = resolve(prepared)
        if dry_run:
            return Result(resolved, prepared.plan)
        return _deliver(prepared, resolved, clock, data, force=force)


def _deliver(prepared: Prepared, resolved: Recipe, clock: Clock, data: Pairs | None, *, force: bool) -> Result:
    from edgetok.bundle import read_bundle
    from edgetok.session.deliver import deliver

    output = _check(resolved, force, need=_bytes(prepared))
    with tempfile.TemporaryDirectory(prefix="edgetok-") as scratch, staged(output, force=force) as stage:
        report = deliver(with_weights(prepared), resolved, stage, Path(scratch), clock, data)
    return Result(resolved, prepared.plan, read_bundle(output), report)


def _check(recipe: Recipe, force: bool, need: int = 0) -> Path:
    if not recipe.output:
        raise BadCommand("No output is given.", hint="Name a directory for the bundle (-o DIRECTORY).")
    try:
        output = Path(recipe.output).expanduser()
        if Path.cwd().is_relative_to(output.resolve()):
            raise _under_foot(output)
        check_output(output, force=force, need=need)
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a zero byte, a name too long
        raise OutputNotWritable(
            f"{recipe.output!r} cannot be written", why=str(error), hint="Choose another output with -o."
        ) from error
    return output


def _under_foot(output: Path) -> OutputExists:
    return OutputExists(
        f"{output} exists: the working directory is in it.",
        why="a bundle is put in place by renaming, which would take the directory away from under you",
        hint="Name a directory that shall be made, such as -o out.",
    )


def _bytes(prepared: Prepared) -> int:
    """What the weights alone will take in the bundle."""
    size = 2 if dtype_of(prepared) == "fp16" else 4
    return size * sum(parameter.numel() for parameter in prepared.program.exported.parameters())


def resolve(prepared: Prepared) -> Recipe:
    """The recipe with every plugin option written out, local paths made absolute, and the plan's digest.

    It replays from any working directory. Only code named as ``package.module:name`` must be importable there.
    """
    recipe = prepared.recipe
    uses = tuple(PluginUse(name=p.name, options=p.options()) for p in prepared.tools.plugins)
    target = _absolute(recipe.target) if recipe.target.endswith(".toml") else prepared.tools.target.name
    data, ranges = (part.data and _absolute_data(part.data) for part in (recipe.eval, recipe.calibration))
    changes = {
        "model": _absolute(recipe.model) if prepared.model.source == recipe.model else recipe.model,
        "plugins": uses,
        "target": target,
        "eval": recipe.eval.model_copy(update={"data": data}),
        "calibration": recipe.calibration.model_copy(update={"data": ranges}),
        "parity": _within_reach(recipe.parity, prepared.tools.target.samples),
        "plan_digest": prepared.plan.digest,
    }
    return recipe.model_copy(update=changes)


def _within_reach(parity: ParitySettings, most: int | None) -> ParitySettings:
    """No more samples than a slow simulator can take, unless the user says how many."""
    if most is None or "samples" in parity.model_fields_set:
        return parity
    return parity.model_copy(update={"samples": min(parity.samples, most)})


def _absolute(ref: str) -> str:
    """A local path in full; anything else as it is."""
    path = Path(ref).expanduser()
    return str(path.resolve()) if path.exists() else ref


def _absolute_data(ref: str) -> str:
    scheme, colon, rest = ref.partition(":")
    return f"{scheme}:{_absolute(rest)}" if scheme == "imagefolder" and colon else _absolute(ref)
