"""What mc-moe costs in memory, quality, bytes and time, from what the scripts ``benchmarks/moe_*.py`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from docs.generate.figures import MISSING
from docs.generate.markdown import commit, table

Row = Mapping[str, Any]
HEAD = ("bits", "mc-moe", "uniform", "random widths (mean of 10)", "by frequency alone", "mc-moe, pruned (ODP)")
RIVALS = ("uniform", "random", "frequency")
VERDICTS = {"beaten": "mc-moe is better", "better": "mc-moe is worse", "undecided": "cannot be told apart"}


def memory(results: Path) -> str:
    """A sentence for each model that was compressed, the deepest first."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("moe_memory-*.json"))]
    return "\n".join(map(_peak, sorted(found, key=lambda each: -each["layers"]))) or MISSING


def _peak(found: Row) -> str:
    size, options = found["bytes"], found["options"]
    minutes = sum(found["seconds"].values()) / 60
    return (
        f"{found['layers']} layers of OLMoE's shape with random weights, {_gb(size['model'])} in fp16 with layers of "
        f"{_gb(size['largest_layer'])}, to {_gb(size['packed'] + size['rest'])} at {options['bits']} bits "
        f"({options['method']}, {found['tokens']} calibration tokens): peak resident memory "
        f"**{_gb(found['peak_bytes'])}**, {minutes:.0f} minutes on {found['threads']} thread(s) ({found['machine']}; "
        f"{commit(found['commit'])}).\n"
    )


def quality(results: Path) -> str:
    """Perplexities and accuracies of the sample with their intervals by budget, and how they were measured.

    Accuracies are left out where the file has none.
    """
    found = _read(results / "moe_quality.json")
    if found is None:
        return MISSING
    pruned = {row["bits"]: row["pruned"] for row in found.get("pruning", {}).get("budgets", [])}
    rows = [_row(budget, pruned.get(budget["bits"])) for budget in found["budgets"]]
    right = f"\n{accuracies(found, pruned)}" if "accuracy" in found["full"] else ""
    return f"{table(HEAD, rows)}\nUncompressed: {_perplexity(found['full'])}. {found['how']}\n{right}"


def accuracies(found: Row, pruned: Mapping[float, Row]) -> str:
    """Next tokens that are right, in per cent, a row for each budget."""
    rows = (
        (
            str(row["bits"]),
            _accuracy(row["mc-moe"]),
            *(_beside_ours(row[n]) for n in RIVALS),
            _last(pruned, row["bits"]),
        )
        for row in found["budgets"]
    )
    head = f"Next tokens that are right, of the uncompressed model {_accuracy(found['full'])}; rivals beside mc-moe:"
    return f"{head}\n\n{table(HEAD, rows)}"


def _last(pruned: Mapping[float, Row], bits: float) -> str:
    return _accuracy(pruned[bits]) if bits in pruned else "-"


def _accuracy(found: Row) -> str:
    low, high = found["accuracy_interval"]
    return f"{found['accuracy']:.1f} % ({low:.1f} to {high:.1f})"


def _beside_ours(found: Row) -> str:
    mean, low, high = found["fewer_right"]
    return f"{_accuracy(found)}: {-mean:+.2f} ({-high:+.2f} to {-low:+.2f})"


def _row(budget: Row, pruned: Row | None) -> tuple[str, ...]:
    rivals = (f"{_perplexity(budget[n])}: {VERDICTS[budget[n]['verdict']]}" for n in RIVALS)
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


SIZE_HEAD = ("model", "target", "bits", "arithmetic", "weights in the file", "the whole file")
SPEED_HEAD = ("model", "tokens", "fp32", "packed", "packed, inputs rounded to 8 bits")
WAYS = ("packed", "packed, int8")


def sizes(results: Path) -> str:
    """A row for each file: its weights and all of it, against the arithmetic of its bits."""
    found = _read(results / "moe_size.json")
    if found is None:
        return MISSING
    return f"{table(SIZE_HEAD, map(_size, found['rows']))}\nMade at {commit(found['commit'])}.\n"


def _size(row: Row) -> tuple[str, ...]:
    expected = row["arithmetic"]
    stored = "-" if row["weights"] is None else _beside(row["weights"], expected)
    return row["model"], row["target"], str(row["bits"]), _kib(expected), stored, _beside(row["file"], expected)


def speed(results: Path) -> str:
    """A row for each model and length: medians, and ratios to fp32 with their spread."""
    found = _read(results / "moe_speed.json")
    if found is None:
        return MISSING
    first = found["rows"][0]["latency"]
    where = f"{found['machine']}; {first['runtime']}, batch 1, {first['threads']} thread(s)"
    busy = "" if not found["allowed_load"] else f" The machine was busy (load {found['load_average']:.1f})."
    said = f"On {where}; ratios are times of fp32 over times of the row, above 1 is faster.{busy}"
    return f"{table(SPEED_HEAD, map(_times, found['rows']))}\n{said}\n"


def _times(row: Row) -> tuple[str, ...]:
    times, ratios = row["latency"]["times"], row["latency"]["ratios"]
    cells = (
        f"{times[way]['p50_ms']:.2f} ms: {ratios[way]['ratio']:.2f}x "
        f"({ratios[way]['spread'][0]:.2f} to {ratios[way]['spread'][1]:.2f})"
        for way in WAYS
    )
    return row["model"], str(row["tokens"]), f"{times['dense']['p50_ms']:.2f} ms", *cells


def _kib(size: int) -> str:
    return f"{size / 1024:.0f} KiB"


def _beside(size: int, expected: int) -> str:
    return f"{_kib(size)}, {100 * (size / expected - 1):+.1f} %"


def blocks(results: Path) -> dict[str, Callable[[], str]]:
    """The blocks ``moe memory``, ``moe quality``, ``moe size`` and ``moe speed``."""
    makers = {"memory": memory, "quality": quality, "size": sizes, "speed": speed}
    return {f"moe {name}": partial(maker, results) for name, maker in makers.items()}
