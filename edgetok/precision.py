"""What a PRECISION plugin declares and an exporter fulfils: number formats, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

Scheme = Literal["fp16", "int8-weights", "int8-dynamic", "int8-static", "int4-weights", "int4-dynamic"]
"""Weights, and what activations are: ``weights`` leaves them in floating point, ``dynamic`` and ``static`` make them
int8 with ranges found at run time or by calibration. Targets list the schemes they run, best first."""

WeightDtype = Literal["fp16", "int8", "int4"]
Granularity = Literal["tensor", "channel", "group"]


@dataclass(frozen=True)
class TensorFormat:
    """How one weight is stored.

    Attributes:
        dtype: fp16, or symmetric signed integers.
        granularity: what shares one scale: the tensor, an output channel, or ``group`` values along the inputs.
        group: that number; 0 for other granularities.
    """

    dtype: WeightDtype
    granularity: Granularity = "channel"
    group: int = 0


@dataclass(frozen=True)
class Precision:
    """The formats of one program.

    What a plugin inserted into the graph (its lineage names it) is never quantised: a decision in int8 is another one.

    Attributes:
        scheme: the whole in one word, from the target's list.
        weights: formats by state-dict name; a weight that is not named stays as it is.
        calibration: inputs by name, one batch each; empty unless the scheme is static.
    """

    scheme: Scheme
    weights: Mapping[str, TensorFormat]
    calibration: Sequence[Mapping[str, np.ndarray]] = field(default=(), repr=False)

    @property
    def needs_calibration(self) -> bool:
        """Whether ranges of activations are found on calibration data."""
        return self.scheme.endswith("-static")
