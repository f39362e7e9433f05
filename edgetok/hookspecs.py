"""The whole plugin interface: what an entry point of the group ``edgetok`` may provide.

The entry point names a module that sets ``api_version = "1"`` and implements some of these with ``@hookimpl``.
Importing it must be cheap: heavy packages are imported inside the functions that need them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from edgetok.exporter import Exporter
    from edgetok.graph.labels import Rule
    from edgetok.model import Model
    from edgetok.plugin import Plugin

hookspec = pluggy.HookspecMarker("edgetok")
hookimpl = pluggy.HookimplMarker("edgetok")


@hookspec
def edgetok_plugins() -> Sequence[type[Plugin]]:  # type: ignore[empty-body]
    """Plugin classes. Called once, when plugins are first listed or looked up."""


@hookspec
def edgetok_exporters() -> Sequence[type[Exporter]]:  # type: ignore[empty-body]
    """Exporter classes. Called once, when exporters are first listed or looked up."""


@hookspec
def edgetok_targets() -> Sequence[Path]:  # type: ignore[empty-body]
    """TOML files, one target each. Called once, when targets are first listed or looked up."""


@hookspec
def edgetok_label_rules(rule: Callable[..., Callable[[Rule], Rule]]) -> None:
    """Add label rules for ops edgetok does not know: ``rule("my_op")(function)``. Called once, before labelling."""


@hookspec
def edgetok_model_sources() -> Mapping[str, Callable[[str], Model]]:  # type: ignore[empty-body]
    """Loaders by prefix: ``{"zoo": load}`` makes ``zoo:NAME`` a model. Called once, when one is looked up.

    A transformers directory whose ``quantization_config`` has ``quant_method: zoo`` goes to that loader too, by path.
    """
