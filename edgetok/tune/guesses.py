"""What a search tries before its sampler proposes anything: schedules that are often good, and options' own guesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgetok.tune.schedule import linear

if TYPE_CHECKING:
    from edgetok.tune.setting import Setting


@dataclass(frozen=True)
class Guess:
    """A trial given to the search.

    Attributes:
        origin: its name in results.
        weights: along the layers from ``start`` on, at least 0.
        start: how many layers at the beginning are left alone.
        options: of the plugin, where they differ from those given.
    """

    origin: str
    weights: Sequence[float] = (1.0,)
    start: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


def latest_start(layers: int) -> int:
    """The most layers at the beginning that a schedule may leave alone: a quarter of them."""
    return round(layers / 4)


def first_guesses(setting: Setting, along: Mapping[str, Sequence[int]] | None = None) -> list[Guess]:
    """Constant r, from the first layer on and from later ones; both with the options' guesses; then other lines.

    Args:
        setting: the model and its plugin.
        along: more schedules by name, removed tokens of every layer; of a plugin with a schedule.
    """
    if not setting.is_scheduled:
        return _with_options([Guess("options as given")], setting)
    last = latest_start(setting.layers)
    starts = sorted({round(last * third / 3) for third in range(4)})
    constant = [Guess(f"constant from layer {n + 1}" if n else "constant", start=n) for n in starts]
    lines = {
        "decreasing": linear(setting.layers, 1.0, 0.0),
        "increasing": linear(setting.layers, 0.0, 1.0),
        **(along or {}),
    }
    return [*_with_options(constant, setting), *(Guess(name, weights) for name, weights in lines.items())]


def _with_options(guesses: Sequence[Guess], setting: Setting) -> list[Guess]:
    """The guesses, then each again with the options' own."""
    found = setting.guessed
    if not found:
        return list(guesses)
    said = ", ".join(f"{name} {value}" for name, value in found.items())
    return [*guesses, *(replace(guess, origin=f"{guess.origin}, {said}", options=found) for guess in guesses)]
