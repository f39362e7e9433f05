"""What parity found: plain, frozen, JSON-safe data (no infinities: what is not finite is counted instead)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgetok.verify.tolerance import Arithmetic, Bound


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figures(_Frozen):
    """How far one array is from its reference, at its worst over the batches."""

    max_abs: float
    """Largest absolute difference of entries that are finite on both sides."""
    rel: float
    """``max_abs`` over the reference's largest magnitude."""
    snr_db: float
    """Power of the reference over power of the difference, in dB; 400 where there is no difference."""
    mismatched: int = 0
    """Entries that can not be close: not finite on one side only, or unequal integers."""

    def __str__(self) -> str:
        odd = f", {self.mismatched} entries mismatched" if self.mismatched else ""
        return f"{self.snr_db:.1f} dB and {self.rel:.2g} of the peak{odd}"


class OutputParity(_Frozen):
    """One output of the program."""

    name: str
    rewritten: Figures
    """The check build against the program in torch, the runtime's decisions replayed."""
    dense: Figures | None
    """The same for the dense model's file and program; None where no dense delivery was given."""
    delivered: Figures
    """The delivered file against the check build."""
    bound: Bound
    delivered_bound: Bound
    passed: bool


class Site(_Frozen):
    """One decision in the graph, over all samples."""

    node: str
    module: str
    samples: int
    same: int
    """Samples for which the runtime decided as the reference does."""
    invalid: int
    """Samples whose decision is no valid token map."""
    worst_gap: float
    """The most score that a valid decision gave away, relative to the scale of the scores: by the reference's scores,
    or by the file's own where ``scores`` says how far those are from the reference's."""
    near_tie: float
    """The largest gap that passes, by those scores."""
    passed: bool
    reference_gap: float | None = None
    """The same by the reference's scores, where ``worst_gap`` is by the file's own."""
    scores: Figures | None = None
    """The model's values that the scores are computed from, against the reference, at their worst."""
    control: Figures | None = None
    """The same values in the dense file of the same precision."""
    scores_bound: Bound | None = None
    """What ``scores`` must keep to: the control's figures and the slack of the dtype."""


class Decisions(_Frozen):
    """All decisions, and how many differ."""

    sites: tuple[Site, ...]
    samples: int
    """Samples per site."""
    same_share: float
    """Share of samples and sites that decide alike, 0 to 1."""
    worst_gap: float
    """Of the site where it is largest beside what passes there."""
    near_tie: float
    """What passes there."""
    passed: bool


class TaskAgreement(_Frozen):
    """Whether the delivered file answers as the program in torch does when that decides for itself."""

    output: str
    n: int
    top1: float
    """Share of samples with the same highest logit, 0 to 1."""


class Parity(_Frozen):
    """The result of the gate."""

    passed: bool
    max_abs: float | None
    """The largest over the outputs, for the rewritten program; None where the file was not executed."""
    how: str
    dtype: Arithmetic
    inputs: Literal["real", "seeded"]
    n: int
    """Samples compared."""
    outputs: tuple[OutputParity, ...]
    decisions: Decisions | None
    """None where the program decides nothing."""
    task: TaskAgreement | None
    """None where the program is no classifier."""
    first_diverging_module: str | None = None
    executed: bool = True
    """Whether the file was executed at all; if not, nothing is proven and ``passed`` is False."""

    @classmethod
    def unproven(cls, how: str, dtype: Arithmetic) -> Parity:
        """The result where the file cannot be executed on this machine."""
        return cls(
            passed=False,
            max_abs=None,
            how=how,
            dtype=dtype,
            inputs="seeded",
            n=0,
            outputs=(),
            decisions=None,
            task=None,
            executed=False,
        )
