"""The WEIGHTS stage: a component with other weights, captured anew, beside the one it was made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgetok.errors import EdgetokError, PluginFailed, RepairFailed
from edgetok.plugin import WeightPlugin
from edgetok.session.prepare import Prepared, with_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from edgetok.model import Component
    from edgetok.session.clock import Clock
    from edgetok.session.inputs import Arrays
    from edgetok.weights import Reweighted


@dataclass(frozen=True)
class Rewritten:
    """What a WEIGHTS plugin made.

    Attributes:
        prepared: the same run, with the new component and its program; its weights are read.
        done: what the plugin says of it.
        how: what it was calibrated on, for people.
    """

    prepared: Prepared
    done: Reweighted
    how: str = ""


def weight_plugin(prepared: Prepared) -> WeightPlugin | None:
    """The one WEIGHTS plugin of a run; tags see to it that there are no two."""
    return next((plugin for plugin in prepared.tools.plugins if isinstance(plugin, WeightPlugin)), None)


def rewrite_weights(
    prepared: Prepared, calibration: Sequence[Arrays], how: str, scratch: Path, clock: Clock
) -> Rewritten | None:
    """Run the WEIGHTS plugin, if there is one, and capture what it made.

    Raises:
        PluginFailed: it raised.
        RepairFailed: the new component has other attentions than the one that was planned for.
    """
    plugin = weight_plugin(prepared)
    if plugin is None:
        return None
    with clock.stage("weights"):
        place = scratch / "weights"
        place.mkdir()
        component, inputs = prepared.component, _inputs(prepared.component, calibration)
        try:
            done = plugin.rewrite(prepared.model, component, inputs, place, clock.progress)
        except EdgetokError:
            raise
        except Exception as error:
            raise PluginFailed(
                f"Plugin {plugin.name!r} failed while it rewrote weights.",
                why=f"{type(error).__name__}: {error}",
                hint="Report this to the plugin's author, with its options and the model's architecture.",
            ) from error
        return Rewritten(_captured(prepared, done.component), done, how)


def _inputs(component: Component, batches: Sequence[Arrays]) -> dict[str, Tensor]:
    import torch

    if not batches:
        return {}
    return {
        name: torch.cat([torch.from_numpy(batch[name]) for batch in batches]).to(example.dtype)
        for name, example in component.inputs.items()
    }


def _captured(prepared: Prepared, component: Component) -> Prepared:
    from edgetok.graph import capture, find_sites

    program = capture(component)
    sites = tuple(find_sites(program))
    if [site.name for site in sites] != [site.name for site in prepared.sites]:
        raise RepairFailed(
            "The component with new weights has other attentions than the one that was planned for.",
            why=f"{len(prepared.sites)} before, {len(sites)} after",
        )
    return with_weights(replace(prepared, component=component, program=program, sites=sites))
