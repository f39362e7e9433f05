"""What a model costs: tokens, FLOPs, bytes, milliseconds. Each section is a frozen part of the report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from edgetok.report.section import Measured, Part, Section, check_ratio, ratio_of

if TYPE_CHECKING:
    from typing import Self

    from edgetok.report.flops import Flops

FLOPS_HOW = (
    "2 x multiply-accumulates of convolutions, linear layers, matrix products and attention, counted on the captured "
    "graph for one sample, inserted operations included. Paper style counts the blocks alone: without patch "
    "embedding, head and matching."
)


class Tokens(Section):
    """Tokens entering each block's attention, then the final count: one entry more than there are blocks."""

    per_layer: tuple[int, ...] = Field(description="Optimised model: tokens entering each block, then the final count.")
    dense_per_layer: tuple[int, ...] = Field(description="The same for the dense model.")


class FlopsByPart(Part):
    """FLOPs of one part of the model, for one sample."""

    part: str
    dense: int = Field(ge=0)
    optimized: int = Field(ge=0)


class FlopsSection(Section):
    """FLOPs for ``samples`` samples; ``ratio`` and ``paper_style_ratio`` are dense / optimised."""

    dense: int = Field(ge=0)
    optimized: int = Field(ge=0)
    ratio: float | None
    paper_style_ratio: float | None
    parts: tuple[FlopsByPart, ...] = ()
    samples: int = Field(1, ge=1, description="Samples counted; more than one only where the batch is fixed.")
    uncounted: tuple[str, ...] = Field((), description="Operations that may multiply and are not in the count.")

    @model_validator(mode="after")
    def _ratio_is_dense_over_optimized(self) -> Self:
        check_ratio("flops", self.ratio, self.dense, self.optimized)
        return self

    @classmethod
    def of(cls, dense: Flops, optimized: Flops, how: str = FLOPS_HOW) -> FlopsSection:
        """The section from the counts of both programs."""
        parts = tuple(
            FlopsByPart(part=part, dense=dense.categories[part], optimized=optimized.categories[part])
            for part in dense.categories
        )
        return cls(
            how=how,
            dense=dense.total,
            optimized=optimized.total,
            ratio=ratio_of(dense.total, optimized.total),
            paper_style_ratio=ratio_of(dense.paper_style, optimized.paper_style),
            parts=parts,
            samples=dense.samples,
            uncounted=tuple(sorted({*dense.uncounted, *optimized.uncounted})),
        )


class Quantity(Section):
    """A figure of both models; ``ratio`` is dense / optimised. Null where not measured."""

    dense: float | None = None
    optimized: float | None = None
    ratio: float | None = None

    @model_validator(mode="after")
    def _ratio_is_dense_over_optimized(self) -> Self:
        check_ratio(type(self).__name__, self.ratio, self.dense, self.optimized)
        return self

    @classmethod
    def of(cls, dense: float | None, optimized: float | None, how: str) -> Self:
        """The section from both figures."""
        return cls(how=how, dense=dense, optimized=optimized, ratio=ratio_of(dense, optimized))


class SizeBytes(Quantity):
    """Bytes of the model file and its external data on disk."""

    dense: int | None = None
    optimized: int | None = None


class Memory(Quantity):
    """Peak resident memory of one process that loads the model and runs it, in bytes."""

    dense: int | None = None
    optimized: int | None = None


class LoadMs(Quantity):
    """Cold load: milliseconds from opening the file to a session that can run."""


class LatencyRow(Part):
    """One setting of the benchmark. Times are the median (p50) of one call, in milliseconds.

    ``ratio`` is dense / optimised, paired within interleaved rounds; ``spread`` is the interval around it that
    ``how`` names. It may differ a little from the quotient of the two medians, never in direction.
    """

    dense_ms: float | None = None
    optimized_ms: float | None = None
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    dense_p90_ms: Measured = None
    optimized_p90_ms: Measured = None
    threads: int | None = None
    batch: int | None = None
    runtime: str | None = None
    runs: int | None = None

    @model_validator(mode="after")
    def _ratio_is_not_inverted(self) -> Self:
        expected = ratio_of(self.dense_ms, self.optimized_ms)
        if self.ratio and expected and _inverted(self.ratio, expected):
            raise ValueError(f"latency: ratio is dense / optimized, about {expected:.3g}; {self.ratio:.3g} is inverted")
        if self.spread is not None and self.spread[0] > self.spread[1]:
            raise ValueError(f"latency: spread is (low, high), not {self.spread}")
        return self


def _inverted(ratio: float, expected: float) -> bool:
    """Nearer to 1 / expected than to expected, where the two can be told apart (more than 10 % from 1)."""
    given, wanted = math.log(ratio), math.log(expected)
    return abs(wanted) > math.log(1.1) and abs(given + wanted) < abs(given - wanted)


class Latency(LatencyRow, Section):
    """The primary setting, and ``more`` of them beside it (other batch sizes or thread counts)."""

    more: tuple[LatencyRow, ...] = ()
    load_average: Measured = Field(None, description="The machine's load (1 minute) when the benchmark began.")

    @property
    def rows(self) -> tuple[LatencyRow, ...]:
        """All settings that were measured, the primary one first."""
        return tuple(row for row in (self, *self.more) if row.dense_ms is not None or row.optimized_ms is not None)


class Timings(Section):
    """Wall-clock seconds of each stage of the run, in the order they ran."""

    seconds: dict[str, float] = Field(default_factory=dict)
