"""``tune.json``: what was tried, measured and found. A versioned public contract.

Within ``edgetok.tune/1`` fields may be added, never removed, renamed or given another meaning.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import AwareDatetime, ConfigDict, Field, JsonValue

from edgetok.report.schema import Machine
from edgetok.report.section import Part
from edgetok.tune.goal import Goal


class Point(Part):
    """One schedule that was tried.

    ``latency`` is predicted from the curve, relative to dense; the losses are those on the tuning data.
    """

    origin: str = Field(
        description="search, threshold, gradient, constant, dense, decreasing, increasing or another first guess"
    )
    options: dict[str, JsonValue]
    tokens: tuple[int, ...] = Field(description="tokens after each attention of the reduced space")
    removed: tuple[int, ...]
    tokens_share: float = Field(description="of the dense tokens, averaged over layers")
    latency: float | None = Field(None, description="of dense; null where the target's runtime is not here")
    kl: float = Field(description="mean of KL(dense || reduced) in nats")
    agreement: float = Field(description="per cent of samples classed as by dense")
    drop: float | None = Field(None, description="points of accuracy below dense; null without labels")

    @property
    def cost(self) -> float:
        """The latency where it is known, else the share of tokens."""
        return self.tokens_share if self.latency is None else self.latency

    @property
    def loss_points(self) -> float:
        """The drop in points, or without labels what bounds it: the share of samples classed otherwise."""
        return 100.0 - self.agreement if self.drop is None else self.drop


class CurveRow(Part):
    """One static program that was timed: measured and fitted latency, both relative to dense."""

    removed: tuple[int, ...]
    tokens: tuple[int, ...]
    measured: float
    spread: tuple[float, float]
    fitted: float
    guessed: bool = Field(False, description="with the options of the curve's ``guessed``")


class Curve(Part):
    """Latency against tokens on the target's runtime, relative to the dense file.

    ``saved[i]`` is what one layer saves when it runs on ``shares[i]`` of its tokens, ``merge`` what one reduction
    costs, both as parts of the dense latency; ``moved`` is what it costs more where the options that ``guessed`` names
    are not those given, as timed with the values there. A layer's share counts the tokens before its attention's
    reduction by a third, those after by two thirds, as its weights do.
    """

    shares: tuple[float, ...]
    saved: tuple[float, ...]
    merge: float
    moved: float = 0.0
    guessed: dict[str, JsonValue] = Field(default_factory=dict)
    dense_ms: float
    rows: tuple[CurveRow, ...]
    threads: int
    load_average: float | None
    how: str


class Interval(Part):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


class Outcome(Part):
    """A schedule on data it was not chosen on, and its latency measured here."""

    options: dict[str, JsonValue]
    tokens: tuple[int, ...]
    predicted: float | None = Field(None, description="latency by the curve, of dense")
    latency: Interval | None = Field(None, description="measured latency, of dense")
    milliseconds: float | None = None
    kl: float | None = None
    agreement: float | None = None
    drop: Interval | None = Field(None, description="points of accuracy below dense")


class Tuned(Part):
    """Everything that one run of ``edgetok tune`` found."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True, title="edgetok tune")

    schema_version: Literal["edgetok.tune/1"] = Field("edgetok.tune/1", alias="schema")
    created: AwareDatetime
    model: str
    target: str
    runtime: str
    plugin: str
    goal: Goal
    method: str
    reached: bool = Field(description="whether a point keeps the goal on the tuning data")
    best: Point
    points: tuple[Point, ...]
    curve: Curve | None = None
    found: Outcome
    constant: Outcome = Field(description="constant r at the latency of the schedule found: the baseline to beat")
    kl_ratio: Interval | None = Field(None, description="KL of the schedule / KL of constant r, paired bootstrap")
    verdict: str
    tuned_on: str
    evaluated_on: str
    study: str = Field("", description="name of the Optuna study, and whether it is kept")
    trials: int = 0
    how: str
    versions: dict[str, str]
    machine: Machine

    @property
    def shortfall(self) -> str | None:
        """What to say where the goal was not reached: on the tuning data, or in latency as measured, beyond doubt."""
        if not self.reached:
            return f"The goal ({self.goal}) was not reached on the tuning data; this schedule loses least."
        measured = self.found.latency
        if self.goal.kind != "latency" or measured is None or measured.low <= self.goal.value:
            return None
        at = f"{measured.value:.2f} ({measured.low:.2f} to {measured.high:.2f}) of dense"
        return f"Latency as measured, {at}, is above the goal, which predictions were held to: ask for less."

    def to_json(self) -> str:
        """The text of ``tune.json``."""
        plain = self.model_dump(mode="json", by_alias=True)
        return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Tuned:
        """Read ``tune.json``. Raises ``pydantic.ValidationError`` where it is none."""
        return cls.model_validate_json(text)
