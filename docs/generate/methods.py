"""Reductions compared, from the JSON that ``benchmarks/reductions.py`` and ``benchmarks/block_share.py`` write."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from docs.generate.figures import MISSING
from docs.generate.markdown import code, commit, table

Row = Mapping[str, Any]
ACCURACY, LATENCY, SHARE = "reductions_accuracy.json", "reductions_latency.json", "block_share.json"
HEAD = ("method", "FLOPs saved", "latency of dense", "mean KL", "agreement", "drop in points")
FOLD_HEAD = ("FLOPs saved", "judged on", "method chosen on the other half", "KL of constant r", "agreement", "drop")
SHARE_HEAD = ("plugin", "tokens", "channels", "merged at a time", "one block", "one merge", "share of a block", "goal")


def read(path: Path) -> dict[str, Any] | None:
    """A result, or ``None`` where it was not measured."""
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def interval(found: Row, digits: int = 2, sign: str = "") -> str:
    """``0.65 (0.63 to 0.68)``."""
    value, low, high = (f"{found[key]:{sign}.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def joined(results: Path) -> list[dict[str, Any]]:
    """Rows of the sweep with their latency, ``None`` where it was not measured."""
    accuracy, latency = read(results / ACCURACY), read(results / LATENCY)
    timed = {(row["method"], row["budget"]): row for row in latency["rows"]} if latency else {}
    rows = accuracy["rows"] if accuracy else []
    return [{**row, "latency": latency_of(row, timed.get((row["method"], row["budget"])))} for row in rows]


def latency_of(row: Row, timed: Row | None) -> Row | None:
    """The latency of the very program that lost what a row says; a timed row without options goes by its name."""
    if timed is None or timed.get("options", row["options"]) != row["options"]:
        return None
    return cast("Row", timed["latency"])


def sweep_row(row: Row) -> tuple[object, ...]:
    """One method at one budget."""
    latency = "-" if row["latency"] is None else interval(row["latency"])
    figures = interval(row["kl"], 4), f"{row['agreement']:.1f} %", interval(row["drop"], sign="+")
    return row["method"], f"{row['saved']:.1f} %", latency, *figures


def sweep(results: Path) -> str:
    """One table per budget, least KL first, and what was measured on which machine."""
    rows, parts = joined(results), []
    if not rows:
        return MISSING
    for budget in dict.fromkeys(row["budget"] for row in rows):
        own = sorted((row for row in rows if row["budget"] == budget), key=lambda row: float(row["kl"]["value"]))
        parts.append(f"About {budget} % of the FLOPs saved:\n\n{table(HEAD, map(sweep_row, own))}")
    return "\n".join([*parts, *(where(read(results / name)) for name in (ACCURACY, LATENCY))])


def where(result: Row | None) -> str:
    """What was measured, and with what."""
    if result is None:
        return "Latency: not measured yet.\n"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result["versions"].items()))
    load = result.get("load_average")
    busy = "" if load is None else f"; load average {load:.2f} at the start"
    return f"{result['how']} On {result['machine']}; {versions}; {commit(result['commit'])}{busy}.\n"


def options(results: Path) -> str:
    """The options behind every row, as they are given to ``--plugins``."""
    rows = joined(results)
    if not rows:
        return MISSING
    return table(("method", "budget", "plugin and options"), map(options_row, rows))


def options_row(row: Row) -> tuple[object, ...]:
    """One method at one budget, its options without those at their defaults."""
    given = ", ".join(f"{key}={json.dumps(value)}" for key, value in row["options"].items())
    return row["method"], f"{row['budget']} %", code(f"{row['plugin']}: {given}")


def halves(results: Path) -> str:
    """What was chosen on each half and what it came to on the other, then both, and the verdict."""
    accuracy = read(results / ACCURACY)
    if accuracy is None:
        return MISSING
    rows, verdicts = [], []
    for found in accuracy["halves"]:
        names = [f"half {name}" for name in ("two", "one")]
        for name, fold in [*zip(names, found["folds"], strict=True), ("both", found["both"])]:
            chosen = fold.get("method", "each half's own")
            figures = f"{interval(fold['ratio'])}x", f"{fold['agreement']:.1f} %", interval(fold["drop"], sign="+")
            rows.append((f"{found['saved']:.1f} %", f"{name} (n = {fold['samples']})", chosen, *figures))
        verdicts.append(f"- {verdict(found, accuracy['goal'])}")
    return f"{table(FOLD_HEAD, rows)}\n" + "\n".join(verdicts) + "\n"


def verdict(found: Row, goal: float) -> str:
    """Whether the choice beats constant r, and whether by as much as was aimed at."""
    ratio = found["both"]["ratio"]
    at = f"At {found['saved']:.0f} % of the FLOPs saved the methods chosen have {interval(ratio)} times the KL of"
    if ratio["low"] > 1:
        said = "they are worse"
    elif ratio["high"] >= 1:
        said = "that is no difference beyond doubt"
    else:
        said = "they are better beyond doubt"
    aim = f"the aim of {goal} is {'met' if ratio['value'] <= goal and ratio['high'] < 1 else 'missed'}"
    return f"{at} constant-r Token Merging: {said}; {aim}."


def shares(results: Path) -> str:
    """What a merge costs, as a share of a block."""
    measured = read(results / SHARE)
    if measured is None:
        return MISSING
    return f"{table(SHARE_HEAD, map(share_row, measured['rows']))}\n{where(measured)}"


def share_row(row: Row) -> tuple[object, ...]:
    """One setting."""
    low, high = row["share_spread"]
    share = f"{100 * row['share']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    times = f"{row['block_ms']:.2f} ms", f"{row['merge_ms']:.3f} ms"
    goal = f"{100 * row['goal']:.0f} %, {'met' if row['share'] <= row['goal'] else 'missed'}"
    return row["plugin"], row["tokens"], row["channels"], row["removed"], *times, share, goal


def blocks(results: Path) -> dict[str, Callable[[], str]]:
    """``methods sweep``, ``methods options``, ``methods halves`` and ``methods share``."""
    return {
        "methods sweep": lambda: sweep(results),
        "methods options": lambda: options(results),
        "methods halves": lambda: halves(results),
        "methods share": lambda: shares(results),
    }
