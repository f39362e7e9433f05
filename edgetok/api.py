"""The same as ``edgetok optimize``, for a module in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetok.plugin import Plugin
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
    plugins: str | Sequence[str | Plugin] = (),
    target: str = "onnx",
    output: str | Path | None = None,
    eval: str | Iterable[tuple[Any, int]] | Callable[[], Iterable[tuple[Any, int]]] | None = None,
    force: bool = False,
    dry_run: bool = False,
    allow_network: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Result:
    """Rewrite, export, verify and measure a model; write a bundle.

    Args:
        model: any ``nn.Module``, a loaded ``Model``, or a reference as on the command line.
        inputs: example inputs of a module: a tensor, tensors in order, or tensors by parameter name.
        plugins: ``"tome:r=8"``, a list of such, or configured plugin objects.
        target: name, alias or TOML file.
        output: directory of the bundle; may be left out with ``dry_run``.
        eval: labelled data: a reference as on the command line, or samples ``(inputs, class index)``.
        force, dry_run, allow_network, progress: as in ``edgetok.session.optimize``.
        settings: further parts of a recipe, e.g. ``bench={"enabled": False}``, ``exporter={"dtype": "fp16"}``.

    Returns:
        The bundle, the report, the plan and the resolved recipe.

    Raises:
        EdgetokError: with a code, a cause and a hint; nothing is left on disk.
    """
    from edgetok import session
    from edgetok.model import Model

    given, source = _model(model, inputs)
    uses = [plugins] if isinstance(plugins, str) else list(plugins)
    objects = [p for p in uses if isinstance(p, Plugin)]
    parts = dict(settings)
    if isinstance(eval, str):
        parts["eval"] = {**parts.get("eval", {}), "data": eval}
    recipe = make_recipe(
        {
            "model": source,
            "plugins": [p if isinstance(p, str) else {"name": p.name, "options": p.options()} for p in uses],
            "target": target,
            "output": None if output is None else str(output),
            **parts,
        }
    )
    assert given is None or isinstance(given, Model)
    return session.optimize(
        recipe,
        model=given,
        plugins=objects if objects and len(objects) == len(uses) else None,
        data=None if isinstance(eval, str) else eval,
        force=force,
        dry_run=dry_run,
        allow_network=allow_network,
        progress=progress,
    )


def _model(model: nn.Module | Model | str | Path, inputs: Any) -> tuple[Model | None, str]:
    from edgetok.errors import BadInputs
    from edgetok.model import Model

    if isinstance(model, (str, Path)):
        return None, str(model)
    if isinstance(model, Model):
        return model, model.source or model.name
    if inputs is None:
        raise BadInputs(
            f"{type(model).__name__} is given without example inputs.",
            hint="edgetok.optimize(module, inputs, ...): a tensor, tensors in order, or tensors by name.",
        )
    from edgetok.sources import from_module

    found = from_module(model, inputs)
    return found, found.name
