"""What runs where: said by the target's table before the export, and counted by the toolchain after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, JsonValue

from edgetok.report.section import Part, Section

if TYPE_CHECKING:
    from typing import Self

    from edgetok.exporter import Delegation
    from edgetok.lowering import Forecast

Proof = Literal["run", "simulated", "compiled", "lowered"]


class OpRow(Part):
    """One kind of operation of one maker (``model``, or a plugin's name), and where the target's table places it."""

    op: str
    maker: str
    count: int
    placement: Literal["native", "fallback", "unsupported"]
    why: str = ""


class Delegated(Part):
    """What the toolchain gave to the delegate, and what it left to the rest of the runtime."""

    how: str
    delegate: str
    inside: int
    outside: dict[str, int] = Field(default_factory=dict, description="Operations outside, by name.")
    partitions: int
    bytes: int | None = None
    share: float | None = Field(None, description="Operations inside over all, 0 to 1.")
    facts: dict[str, JsonValue] = Field(default_factory=dict, description="Further figures of the toolchain.")


class Lowering(Section):
    """Forecast and measurement. ``partitions`` counts pieces of native operations; 1 is best."""

    proof: Proof = Field("run", description="How far the file could be proven on the machine of this run.")
    verified_by: str = ""
    source: str = Field("", description="Where the target's table of operations is from.")
    ops: tuple[OpRow, ...] = ()
    partitions: int | None = None
    measured: Delegated | None = None

    @classmethod
    def of(cls, forecast: Forecast | None, delegation: Delegation | None, proof: Proof, verified_by: str) -> Self:
        """The section of a run."""
        how = "The lowered graph, operation by operation, looked up in the target's table before the export."
        if forecast and forecast.precision:
            how += f" It is the graph in floating point: what quantising to {forecast.precision} cuts is not forecast."
        return cls(
            how=how if forecast else "Not forecast: the target has no table of operations.",
            proof=proof,
            verified_by=verified_by,
            source=forecast.source if forecast else "",
            ops=tuple(OpRow.model_validate(row.model_dump()) for row in forecast.ops) if forecast else (),
            partitions=forecast.partitions if forecast else None,
            measured=_delegated(delegation) if delegation else None,
        )


def _delegated(found: Delegation) -> Delegated:
    total = found.inside + sum(found.outside.values())
    return Delegated(
        how=found.how,
        delegate=found.delegate,
        inside=found.inside,
        outside=dict(found.outside),
        partitions=found.partitions,
        bytes=found.bytes,
        share=found.inside / total if total else None,
        facts=dict(found.facts),
    )
