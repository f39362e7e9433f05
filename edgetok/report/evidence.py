"""What shows that the optimised model still does its job: parity, accuracy, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from edgetok.report.section import Measured, Part, Section

if TYPE_CHECKING:
    from typing import Self

NOT_EVALUATED = "Not evaluated: no labelled data was given (--eval)."


class Difference(Part):
    """How far an output is from its reference: largest absolute and relative difference, signal to noise in dB.

    ``snr_db`` is at its cap of 400 where nothing differs; ``mismatched`` counts entries that cannot be close.
    """

    max_abs: Measured = None
    rel: Measured = None
    snr_db: Measured = None
    mismatched: int = 0


class Bound(Part):
    """What an output must keep to."""

    min_snr_db: float
    max_rel: float


class OutputParity(Part):
    """One output: ``rewritten`` is the exported file against the rewritten program, the file's decisions replayed.

    ``dense`` is the same for the dense model, ``delivered`` the delivered file against the file that was checked.
    """

    name: str
    rewritten: Difference
    dense: Difference | None = None
    delivered: Difference | None = None
    bound: Bound
    delivered_bound: Bound | None = None
    passed: bool


class DecisionSite(Part):
    """One decision in the graph: how many samples decided as the reference does, and the worst that did not."""

    node: str
    module: str = ""
    samples: int
    same: int
    invalid: int = 0
    worst_gap: Measured = None
    passed: bool


class Decisions(Part):
    """Whether the runtime decides as the reference does, site by site and sample by sample."""

    sites: tuple[DecisionSite, ...] = ()
    samples: int = Field(ge=0, description="Samples per site.")
    same_share: float = Field(ge=0, le=1, description="Share of samples and sites that decide alike.")
    worst_gap: Measured = Field(None, description="Largest score by which a differing decision misses the best one.")
    near_tie: float = Field(description="The gap up to which a difference is a near-tie at this dtype.")
    passed: bool


class TaskAgreement(Part):
    """Share of samples (0 to 1) for which the file and the program in torch, deciding for itself, have one top-1."""

    output: str
    n: int
    top1: float = Field(ge=0, le=1)


class Parity(Section):
    """Two figures: arithmetic (``outputs``) and ``decisions``. ``max_abs`` is the largest over all outputs."""

    passed: bool
    max_abs: Measured = None
    dtype: str = "fp32"
    inputs: Literal["real", "seeded"] = "seeded"
    n: int = Field(0, ge=0, description="Samples compared.")
    outputs: tuple[OutputParity, ...] = ()
    decisions: Decisions | None = None
    task: TaskAgreement | None = None
    first_diverging_module: str | None = None
    executed: bool = Field(True, description="False where the file could not be executed; then nothing is proven.")


class Perplexity(Part):
    """Perplexity a token of both models on the same text. ``ratio`` is dense / optimised: below 1 is a loss."""

    tokens: int = Field(ge=1, description="Tokens predicted.")
    windows: int = Field(ge=1, description="Windows of text, each read on its own.")
    dense: float = Field(ge=1)
    optimized: float = Field(ge=1)
    ratio: float = Field(gt=0)
    ci95: tuple[float, float] | None = Field(None, description="Paired 95 % interval of the ratio, over windows.")
    method: str = ""

    @model_validator(mode="after")
    def _ratio_is_dense_by_optimized(self) -> Self:
        if abs(self.dense / self.optimized - self.ratio) > 1e-6 * self.ratio:
            raise ValueError(f"perplexity: ratio is dense / optimized, not {self.ratio:g}")
        return self


class Accuracy(Section):
    """Task accuracy of both models on the same samples. All figures are null where nothing was evaluated.

    ``dense`` and ``optimized`` are percentages, ``drop`` is dense - optimised in points (positive is a loss), ``ci95``
    its paired 95 % interval. ``kl_mean`` is the mean KL divergence from the dense model's prediction to the
    optimised one's, in nats; ``top1_agreement`` is the percentage of samples with the same top-1.
    """

    n: int | None = None
    dense: float | None = None
    optimized: float | None = None
    drop: float | None = None
    ci95: tuple[float, float] | None = None
    kl_mean: Measured = None
    top1_agreement: Measured = None
    method: str | None = Field(None, description="How the interval was computed.")
    metric: str = "top-1"
    data: str | None = None
    perplexity: Perplexity | None = Field(None, description="Of language models; ``n`` then counts windows.")

    @model_validator(mode="after")
    def _drop_is_dense_minus_optimized(self) -> Self:
        if self.drop is None or self.dense is None or self.optimized is None:
            return self
        if abs(self.dense - self.optimized - self.drop) > 1e-6:
            raise ValueError(
                f"accuracy: drop is dense - optimized = {self.dense - self.optimized:g}, not {self.drop:g}"
            )
        return self

    @classmethod
    def not_evaluated(cls, how: str = NOT_EVALUATED) -> Accuracy:
        """The section of a run without evaluation."""
        return cls(how=how)

    @property
    def evaluated(self) -> bool:
        """Whether there are figures."""
        return self.drop is not None


class Refusal(Part):
    """A place that a plugin considered and left alone."""

    site: str
    plugin: str
    reason: str


class Rewritten(Part):
    """A place that a plugin rewrote, and what it did there."""

    site: str
    plugin: str
    what: str
