"""Schedules found against constant r, from ``benchmarks/results/tuned``, which ``benchmarks/tuned.py`` writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from docs.generate.figures import MISSING
from docs.generate.markdown import commit, table

if TYPE_CHECKING:
    from edgetok.tune import Tuned
    from edgetok.tune.result import Interval, Outcome

HEAD = ("model", "target", "plugin", "goal", "", "tokens after each attention", "latency of dense", "KL", "drop")


def interval(found: Interval | None) -> str:
    """``0.65 (0.63 to 0.68)``."""
    return "-" if found is None else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def row(tuned: Tuned, name: str, outcome: Outcome) -> tuple[object, ...]:
    """One schedule on the evaluation data."""
    kl = "-" if outcome.kl is None else f"{outcome.kl:.4f}"
    tokens = " ".join(map(str, outcome.tokens))
    figures = interval(outcome.latency), kl, interval(outcome.drop)
    return tuned.model, tuned.target, tuned.plugin, tuned.goal, name, tokens, *figures


def tuned(results: Path) -> str:
    """Two rows per result, then each verdict and how it was measured."""
    from edgetok.tune import Tuned

    written = [json.loads(path.read_bytes()) for path in sorted((results / "tuned").glob("*.json"))]
    found = [(Tuned.from_json(json.dumps(each["tuned"])), each["commit"]) for each in written]
    if not found:
        return MISSING
    rows = [row(t, name, each) for t, _ in found for name, each in (("found", t.found), ("constant r", t.constant))]
    return f"{table(HEAD, rows)}\n" + "".join(f"- {verdict(*each)}\n" for each in found)


def verdict(found: Tuned, made_at: str) -> str:
    """What came out, on which samples, on what machine and at which commit."""
    curve = found.curve
    load = "" if curve is None or curve.load_average is None else f", load average {curve.load_average:.1f}"
    shortfall = f"{found.shortfall} " if found.shortfall else ""
    return (
        f"{found.goal}: {found.verdict} {shortfall}Tuned on {found.tuned_on}, {found.trials} trials; evaluated on "
        f"{found.evaluated_on}; {found.runtime} on {found.machine.processor or found.machine.system}{load}; "
        f"{commit(made_at)}."
    )


def blocks(results: Path) -> dict[str, Callable[[], str]]:
    """The block ``tuned``."""
    return {"tuned": lambda: tuned(results)}
