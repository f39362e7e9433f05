"""From a PRECISION plugin and a target to the formats of one program, calibration data included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgetok.errors import NothingToRewrite, TargetRefuses
from edgetok.plugin import PrecisionPlugin
from edgetok.precision import Precision
from edgetok.session.interface import asks_rounding

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from pydantic import BaseModel

    from edgetok.graph import Program
    from edgetok.plugin import Plugin
    from edgetok.precision import Scheme
    from edgetok.target import Target


@dataclass(frozen=True)
class Chosen:
    """A PRECISION plugin and the scheme it gets on a target."""

    plugin: PrecisionPlugin
    scheme: Scheme

    @property
    def samples(self) -> int:
        """How many samples calibrate it."""
        return self.plugin.calibration_samples(self.scheme)

    def declare(self, program: Program, calibration: Sequence[Mapping[str, np.ndarray]] = ()) -> Program:
        """The program with its formats.

        Raises:
            NothingToRewrite: no weight of it can be stored so.
        """
        weights = self.plugin.formats(program)
        if not weights:
            raise NothingToRewrite(
                f"Plugin {self.plugin.name!r} found no place to act.",
                why=f"no weight of {program.name!r} fits {self.plugin.options()}",
                hint="It quantises linear layers and convolutions; check skip and group.",
            )
        return replace(program, precision=Precision(self.scheme, weights, tuple(calibration)))


def choose(plugins: Sequence[Plugin], target: Target) -> Chosen | None:
    """The one PRECISION plugin with the first scheme of the target's list that its options allow.

    Raises:
        TargetRefuses: the target runs none of them.
    """
    asked = next((p for p in plugins if isinstance(p, PrecisionPlugin)), None)
    if asked is None:
        return None
    allowed = asked.schemes()
    for scheme in target.precisions:
        if scheme in allowed:
            return Chosen(asked, scheme)
    raise TargetRefuses(
        f"Target {target.name!r} does not run what plugin {asked.name!r} asks for.",
        why=f"asked: {', '.join(allowed)}; the target runs: {', '.join(target.precisions) or 'no quantised model'}",
        hint="Choose other weights or activations, or another target: edgetok targets info NAME lists its precisions.",
    )


def check_rounding(options: BaseModel, target: Target) -> None:
    """Refuse an exporter's option ``packed_activations=int8`` where it would change nothing.

    Raises:
        TargetRefuses: no kernel of the target rounds what it multiplies packed weights with.
    """
    if asks_rounding(options) and target.packed.rounded is None:
        raise TargetRefuses(
            f"Target {target.name!r} does not round what it multiplies packed weights with.",
            why="packed_activations is int8, and the target's table has no packed.rounded",
            hint="Leave out exporter.packed_activations, or choose a target that has packed.rounded, as onnx-cpu has.",
        )
