"""The same as ``edgetok optimize``, for a module in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetok.plugin import Plugin
from edgetok.recipe import read_uses
from edgetok.recipe_file import make_recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgetok.model import Model
    from edgetok.progress import Progress
    from edgetok.session.result import Result


def optimize(
    model: nn.Module | Model | str | Path,
    inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor] | None = None,
    *,
    plugins: str | Plugin | Mapping[str, Mapping[str, Any]] | Sequence[str | Plugin] | None = (),
    target: str = "onnx",
    output: str | Path | None = None,
    eval: str | Path | Iterable[tuple[Any, int]] | Callable[[], Iterable[tuple[Any, int]]] | None = None,
    force: bool = False,
    dry_run: bool = False,
    allow_network: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Result:
    """Rewrite, export, verify and measure a model; write a bundle.

    Args:
        model: any ``nn.Module``, a loaded ``Model``, or a reference as on the command line. A module is not changed.
        inputs: example inputs of a module: a tensor, tensors in order, or tensors by parameter name.
        plugins: ``"tome:r=8"``, ``{"tome": {"r": 8}}``, a configured plugin object, or a list of texts and objects.
        target: name, alias or TOML file.
        output: directory of the bundle; may be left out with ``dry_run``.
        eval: labelled data: a reference as on the command line, or samples ``(inputs by name, class index)``.
        force: replace a bundle that is there.
        dry_run: stop at the plan: nothing is written.
        allow_network: let model sources use the network.
        progress: where to show progress; silent by default.
        settings: further parts of a recipe, e.g. ``bench={"enabled": False}``, ``exporter={"dtype": "fp16"}``.

    Returns:
        The bundle, the report, the plan and the resolved recipe.

    Raises:
        EdgetokError: with a code, a cause and a hint; nothing is left on disk.
    """
    from edgetok import session

    given, source = _model(model, inputs)
    chosen = _plugins(plugins or ())
    in_memory = None if isinstance(eval, str | Path) else eval
    parts = dict(settings)
    if isinstance(eval, str | Path):
        parts["eval"] = {**parts.get("eval", {}), "data": str(eval)}
    recipe = make_recipe(
        {
            "model": source,
            "plugins": [{"name": p.name, "options": p.options()} for p in chosen],
            "target": target,
            "output": None if output is None else str(output),
            **parts,
        },
        source="edgetok.optimize",
    )
    return session.optimize(
        recipe,
        model=given,
        plugins=chosen,
        data=in_memory,
        force=force,
        dry_run=dry_run,
        allow_network=allow_network,
        progress=progress,
    )


def _plugins(given: str | Plugin | Mapping[str, Mapping[str, Any]] | Sequence[str | Plugin]) -> list[Plugin]:
    """Configured plugins, looked up where they are given as text."""
    from edgetok.registry import installed

    found: list[Plugin] = []
    for item in [given] if isinstance(given, str | Plugin | Mapping) else given:
        if isinstance(item, Plugin):
            found.append(item)
        else:
            found += [installed().plugin(use["name"], use["options"]) for use in read_uses(item)]
    return found


def _model(model: nn.Module | Model | str | Path, inputs: Any) -> tuple[Model | None, str]:
    """The model where it is given in memory, and what a recipe calls it."""
    from edgetok.errors import BadInputs
    from edgetok.model import Model
    from edgetok.sources import from_module

    if isinstance(model, str | Path | Model):
        if inputs is not None:
            raise BadInputs("Example inputs are given for a model that has its own.", hint="Leave inputs out.")
        return (model, model.source or model.name) if isinstance(model, Model) else (None, str(model))
    if inputs is None:
        raise BadInputs(
            f"{type(model).__name__} is given without example inputs.",
            hint="edgetok.optimize(module, inputs, ...): a tensor, tensors in order, or tensors by name.",
        )
    found = from_module(model, inputs)
    return found, found.name
