"""What a schedule is to reach: a bound on loss, on latency or on tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgetok.errors import BadCommand

if TYPE_CHECKING:
    from edgetok.tune.result import Point

Kind = Literal["max-drop", "latency", "tokens"]


class Goal(BaseModel):
    """One bound; what it does not bound is made as good as possible.

    ``max-drop``: at most ``value`` points of accuracy less than dense on the tuning data (where that has no labels: at
    most so many per cent of samples classed otherwise than by dense, which bounds the drop), as fast as possible.
    ``latency``: at most ``value`` times the dense latency, with the least divergence from dense.
    ``tokens``: at most ``value`` times the dense tokens, averaged over layers, with the least divergence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    value: float = Field(ge=0)

    def __str__(self) -> str:
        unit = {"max-drop": " points", "latency": "x", "tokens": " of the tokens"}[self.kind]
        return f"{self.kind} {self.value:g}{unit}"

    def met_by(self, point: Point) -> bool:
        """Whether a point keeps the bound."""
        found = {"max-drop": point.loss_points, "latency": point.latency, "tokens": point.tokens_share}[self.kind]
        return found is not None and found <= self.value + 1e-9

    def best(self, points: list[Point]) -> Point | None:
        """The best of the points that keep the bound; ``None`` where none does."""
        kept = [point for point in points if self.met_by(point)]
        if self.kind == "max-drop":
            return min(kept, key=lambda point: (point.cost, point.kl), default=None)
        return min(kept, key=lambda point: (point.kl, point.cost), default=None)


def read_goal(max_drop: float | None, latency: str | None, tokens: str | None) -> Goal:
    """The goal of a command line: ``0.5``, ``"0.6x"`` or ``"40%"``.

    Raises:
        BadCommand: there is none or more than one, or it is no such number.
    """
    given = {"max-drop": max_drop, "latency": latency, "tokens": tokens}
    named = [(kind, value) for kind, value in given.items() if value is not None]
    if len(named) != 1:
        raise BadCommand(
            "one goal is wanted",
            why=", ".join(f"--{kind} {value}" for kind, value in named) or "there is none",
            hint="--max-drop 0.5 (points), --latency 0.6x (of dense) or --tokens 40% (of dense)",
        )
    ((kind, value),) = named
    number = _number(kind, str(value))
    if number < 0 or (kind != "max-drop" and not 0 < number < 1):
        raise BadCommand(f"--{kind} {value} is out of range", hint="between 0 and 1 (or 0% and 100%) of dense")
    return Goal(kind=kind, value=number)


def _number(kind: str, text: str) -> float:
    stripped = text.strip()
    try:
        return float(stripped[:-1]) / 100 if stripped.endswith("%") else float(stripped.removesuffix("x"))
    except ValueError as error:
        raise BadCommand(f"--{kind} {text} is no number", hint="write 0.6x, 0.6 or 60%") from error
