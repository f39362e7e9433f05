"""Figures in words: units, signs and significant digits, and the verdict that opens every rendering."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edgetok.report.cost import LatencyRow
    from edgetok.report.evidence import Refusal
    from edgetok.report.schema import Report

DASH = NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"
"""Between a number and its unit."""
TIMES = "\N{MULTIPLICATION SIGN}"

Level = Literal["good", "plain", "warn", "fail"]


@dataclass(frozen=True)
class Verdict:
    """What the report says in a sentence or two. ``fail`` is loud; ``warn`` says that something got worse."""

    level: Level
    headline: str
    details: tuple[str, ...] = ()


def clean(text: str) -> str:
    """Text without control characters and without marks that reorder what follows (newlines and tabs stay)."""
    kept = (c if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf", "Cs"} else "\ufffd" for c in str(text))
    return "".join(kept)


def number(value: float | None, digits: int = 3) -> str:
    """A number with ``digits`` significant digits; an exponent only below 0.001 and from ten million on."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    magnitude = floor(log10(abs(value)))
    if not -3 <= magnitude < 7:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    return f"{value:,.{max(digits - 1 - magnitude, 0)}f}".replace("-", MINUS)


def scaled(value: float | None, unit: str) -> str:
    """A count with a decimal prefix: ``scaled(2.5e9, "FLOPs")`` is ``"2.50 GFLOPs"``."""
    if value is None:
        return NONE
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{number(value / factor)}{SPACE}{prefix}{unit}".rstrip()
    return f"{number(value)}{SPACE}{unit}"


def milliseconds(value: float | None) -> str:
    """A duration, e.g. ``"12.3 ms"``."""
    return NONE if value is None else f"{number(value)}{SPACE}ms"


def ratio(value: float | None) -> str:
    """A ratio, e.g. ``"1.53x"`` with a multiplication sign."""
    return NONE if value is None else f"{value:.2f}{TIMES}"


def ratio_with_spread(row: LatencyRow) -> str:
    """A latency ratio with its spread, e.g. ``"1.53x (1.50 to 1.56)"`` with a dash."""
    return ratio(row.ratio) + (f" ({row.spread[0]:.2f}{DASH}{row.spread[1]:.2f})" if row.spread else "")


def count(number_of: int, noun: str) -> str:
    """``"1 place"``, ``"1,200 places"``."""
    return f"{number_of:,} {noun}{'' if number_of == 1 else 's'}"


def option(name: str, value: object) -> str:
    """An option as one writes it: ``"r=8"``, ``"prop_attn=true"``."""
    return f"{name}={value if isinstance(value, str) else json.dumps(value)}"


def interval(low: float, high: float, digits: int = 2) -> str:
    """``"-0.62 to 0.92"`` with a minus sign."""
    return f"{points(low, digits)} to {points(high, digits)}"


def points(value: float | None, digits: int = 2) -> str:
    """Percentage points with two decimals; never ``-0.00``."""
    if value is None:
        return NONE
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", MINUS)


def setting(row: LatencyRow) -> str:
    """``"batch 1, 2 threads"``."""
    threads = None if row.threads is None else count(row.threads, "thread")
    return ", ".join(part for part in (None if row.batch is None else f"batch {row.batch}", threads) if part)


def speed_level(row: LatencyRow) -> Level:
    """``good`` or ``warn`` where the spread excludes 1, else ``plain``."""
    low, high = row.spread or (row.ratio or 1.0, row.ratio or 1.0)
    return "good" if low > 1 else "warn" if high < 1 else "plain"


def speed(row: LatencyRow) -> str:
    """The row's speed in words, or ``""`` where it was not measured."""
    if row.ratio is None:
        return ""
    times = f"{milliseconds(row.optimized_ms)} against {milliseconds(row.dense_ms)}"
    if speed_level(row) == "warn":
        return f"Slower than the dense model: {times} ({ratio(row.ratio)})"
    if speed_level(row) == "plain":
        return f"No measurable difference in speed: {times} ({ratio(row.ratio)})"
    return f"{ratio(row.ratio)} the speed of the dense model: {times}"


def accuracy(report: Report) -> str:
    """The accuracy in words, or that it is unknown."""
    found = report.accuracy
    if found.drop is None:
        return "Accuracy not evaluated"
    if found.perplexity is not None:
        text = found.perplexity
        return f"perplexity {number(text.optimized)} against {number(text.dense)} on {text.tokens:,} tokens"
    moved = points(abs(found.drop))
    change = "unchanged" if float(moved) == 0 else f"{moved} points {'lower' if found.drop > 0 else 'higher'}"
    return f"{found.metric} {change} on {found.n:,} samples" if found.n else f"{found.metric} {change}"


def harmless(report: Report) -> bool:
    """Whether accuracy was evaluated and its drop cannot be told from none (the interval reaches zero)."""
    found = report.accuracy
    if found.perplexity is not None:
        return (found.perplexity.ci95[1] if found.perplexity.ci95 else found.perplexity.ratio) >= 1
    return found.drop is not None and (found.ci95[0] if found.ci95 else found.drop) <= 0


def verdict(report: Report) -> Verdict:
    """What matters most, first: parity, then speed, then accuracy."""
    primary = report.latency
    pace, setup = speed(primary), setting(primary)
    speed_line = (f"{pace}, {setup}." if setup else f"{pace}.") if pace else "Speed not measured."
    others = [_sentence(f"{setting(row)}: {speed(row)}") for row in primary.more if speed_level(row) == "warn"]
    if not report.parity.executed:
        unproven = "Not proven: the file was not executed. Check it on the device before you ship it."
        return Verdict("warn", unproven, (speed_line, _sentence(accuracy(report))))
    if not report.parity.passed:
        module = report.parity.first_diverging_module
        where = (f"First diverging module: {module}.",) if module else ()
        failed = "Parity failed: this file does not compute what the model computes."
        return Verdict("fail", failed, (*where, speed_line, _sentence(accuracy(report))))
    level: Level = "warn" if others else speed_level(primary) if pace else "plain"
    if level == "good" and not harmless(report):
        level = "plain"
    return Verdict(level, speed_line, (*others, _sentence(accuracy(report))))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def change(dense: float, optimized: float, unit: str) -> str:
    """``"2.51 -> 1.57 GFLOPs"`` with an arrow; the first prefix only where it differs."""
    before, after = scaled(dense, unit), scaled(optimized, unit)
    figure, _, prefix = before.partition(SPACE)
    return f"{figure if after.endswith(SPACE + prefix) else before} → {after}"


def saving(value: float | None) -> str:
    """A ratio that may be below 1, which is then said in words: ``"0.73x (37 % more)"``."""
    more = f" ({100 * (1 / value - 1):.0f} % more)" if value and 1 / value >= 1.005 else ""
    return f"{ratio(value)}{more}"


def refusal_groups(report: Report) -> dict[tuple[str, str], list[Refusal]]:
    """Refusals by (plugin, reason), the most frequent first: forty sites with one reason are one entry."""
    groups: dict[tuple[str, str], list[Refusal]] = {}
    for refusal in report.refusals:
        groups.setdefault((refusal.plugin, refusal.reason), []).append(refusal)
    return dict(sorted(groups.items(), key=lambda entry: -len(entry[1])))
