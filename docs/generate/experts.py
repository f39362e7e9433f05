"""What mc-moe costs in memory and quality, from what ``benchmarks/moe_memory.py`` and ``moe_quality.py`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from docs.generate.figures import MISSING
from docs.generate.markdown import table

Row = Mapping[str, Any]
HEAD = ("bits", "mc-moe", "uniform", "random widths (mean of 10)", "by frequency alone", "mc-moe, pruned (ODP)")
VERDICTS = {"beaten": "mc-moe is better", "better": "mc-moe is worse", "undecided": "cannot be told apart"}


def memory(results: Path) -> str:
    """One sentence on the largest model that was compressed."""
    found = _read(results / "moe_memory.json")
    if found is None:
        return MISSING
    size, options = found["bytes"], found["options"]
    minutes = sum(found["seconds"].values()) / 60
    return (
        f"{found['layers']} layers of OLMoE's shape with random weights, {_gb(size['model'])} in fp16 with layers of "
        f"{_gb(size['largest_layer'])}, to {_gb(size['packed'] + size['rest'])} at {options['bits']} bits "
        f"({options['method']}, {found['tokens']} calibration tokens): peak resident memory "
        f"**{_gb(found['peak_bytes'])}**, {minutes:.0f} minutes on {found['threads']} thread(s) ({found['machine']}).\n"
    )


def quality(results: Path) -> str:
    """Perplexities of the sample with their intervals, a row for each budget, and how they were measured."""
    found = _read(results / "moe_quality.json")
    if found is None:
        return MISSING
    pruned = {row["bits"]: row["pruned"] for row in found.get("pruning", {}).get("budgets", [])}
    rows = [_row(budget, pruned.get(budget["bits"])) for budget in found["budgets"]]
    return f"{table(HEAD, rows)}\nUncompressed: {_perplexity(found['full'])}. {found['how']}\n"


def _row(budget: Row, pruned: Row | None) -> tuple[str, ...]:
    rivals = (f"{_perplexity(budget[n])}: {VERDICTS[budget[n]['verdict']]}" for n in ("uniform", "random", "frequency"))
    last = "-"
    if pruned is not None:
        saved = sum(pruned["saved"]) / len(pruned["saved"])
        last = f"{_perplexity(pruned)}: {_pruning(pruned)}, {saved:.0%} of calls left out"
    return (str(budget["bits"]), _perplexity(budget["mc-moe"]), *rivals, last)


def _pruning(pruned: Row) -> str:
    _, low, high = pruned["loses_more"]
    return "loses" if low > 0 else "gains" if high < 0 else "cannot be told from without"


def _perplexity(found: Row) -> str:
    low, high = found["interval"]
    return f"{found['perplexity']:.3f} ({low:.3f} to {high:.3f})"


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _read(path: Path) -> Row | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def blocks(results: Path) -> dict[str, Callable[[], str]]:
    """The blocks ``moe memory`` and ``moe quality``."""
    return {"moe memory": lambda: memory(results), "moe quality": lambda: quality(results)}
