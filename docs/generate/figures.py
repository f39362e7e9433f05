"""Figures in the documentation, from the JSON in ``benchmarks/results`` and from nowhere else.

``reports/*.json`` hold the ``report.json`` of a bundle each, as edgetok wrote it. ``token_merging.json`` is written by
``benchmarks/token_merging.py``; its ``rows`` have the keys in ``CEILING_KEYS``. What is not there is said to be not
measured yet; a key that is missing is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docs.generate.markdown import commit, table
from docs.generate.targets import built_in

if TYPE_CHECKING:
    from edgetok.report.schema import Report

MISSING = "Not measured yet.\n"
CEILING_KEYS = frozenset({"model", "r", "batch", "threads", "speedup", "ceiling", "share", "share_spread"})
CEILING_HEAD = ("shapes of", "r", "batch", "threads", "token merging", "ceiling", "share reached")
REPORT_HEAD = ("model", "target", "plugins", "tokens in / out", "FLOPs", "size", "latency", "accuracy", "parity")


def plugins(report: Report) -> str:
    """``tome (r=8)``: a plugin's first option, its strength, and others that are not at their defaults."""
    from edgetok.registry import installed

    listed = []
    for plugin in report.plugins:
        plain = installed().plugin(plugin.name).options() if plugin.name in installed().plugins else {}
        first = next(iter(plugin.options), None)
        chosen = [key for key, value in plugin.options.items() if key == first or plain.get(key) != value]
        options = ", ".join(f"{key}={plugin.options[key]}" for key in chosen)
        listed.append(f"{plugin.name} ({options})" if options else plugin.name)
    return ", ".join(listed) or "none"


def latency(report: Report) -> str:
    """One phrase per measured setting: the ratio with its spread, both times, batch and threads."""
    phrases = []
    for row in report.latency.rows:
        if row.ratio is None or row.dense_ms is None or row.optimized_ms is None:
            continue
        spread = f" ({row.spread[0]:.2f} to {row.spread[1]:.2f})" if row.spread else ""
        times = f"{row.dense_ms:.2f} → {row.optimized_ms:.2f} ms"
        phrases.append(f"**{row.ratio:.2f}x**{spread}, {times}, batch {row.batch}, {row.threads} thread(s)")
    return "; ".join(phrases) or "not measured"


def accuracy(report: Report) -> str:
    """Both accuracies, the paired difference and its interval, and on how many samples."""
    found = report.accuracy
    if found.dense is None or found.optimized is None or found.drop is None:
        return "not evaluated"
    interval = f" (95 %: {found.ci95[0]:+.2f} to {found.ci95[1]:+.2f})" if found.ci95 else ""
    return f"{found.dense:.2f} → {found.optimized:.2f} %: drop {found.drop:+.2f} points{interval}, n = {found.n}"


def parity(report: Report) -> str:
    """Whether it passed, the worst signal-to-noise ratio, the largest difference, and what computed the file."""
    found = report.parity
    noise = [part.rewritten.snr_db for part in found.outputs if part.rewritten.snr_db is not None]
    said = ["passed" if found.passed else "**failed**"]
    said += [f"{min(noise):.1f} dB"] if noise else []
    said += [] if found.max_abs is None else [f"max abs {found.max_abs:.1e}"]
    proof = {target.name: target.proof for target in built_in()}.get(report.target.name)
    said += [proof] if proof and found.executed else []
    return ", ".join(said)


def ratio(value: float | None) -> str:
    """``1.72x``, or a dash."""
    return "-" if value is None else f"{value:.2f}x"


def report_row(report: Report) -> tuple[str, ...]:
    """One bundle as a row of the table."""
    counts = report.tokens.per_layer
    tokens = f"{counts[0]} / {counts[-1]}" if counts else "-"
    flops = ratio(report.flops.ratio)
    size = ratio(report.size_bytes.ratio)
    proof = latency(report), accuracy(report), parity(report)
    return report.model.name, report.target.name, plugins(report), tokens, flops, size, *proof


def where(reports: list[tuple[Report, str]]) -> str:
    """Machines, runtimes, versions and commits behind the table."""
    lines = []
    for report, made_at in reports:
        versions = ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items()))
        machine = f"{report.machine.processor or report.machine.system}, {report.machine.cores} cores"
        lines.append(
            f"- {report.model.name}: {report.target.runtime} on {machine}; {versions}; "
            f"{report.created:%Y-%m-%d}, {commit(made_at)}"
        )
    return "\n".join(dict.fromkeys(lines)) + "\n"


def bundles(results: Path, model: str = "vit_tiny") -> str:
    """The table of a model's bundles, and where it was measured."""
    from edgetok.report.schema import Report

    paths = sorted((results / "reports").glob(f"{model}-*.json"))
    results_of = [json.loads(path.read_bytes()) for path in paths]
    reports = [(Report.from_json(json.dumps(found["report"])), found["commit"]) for found in results_of]
    if not reports:
        return MISSING
    return f"{table(REPORT_HEAD, (report_row(report) for report, _ in reports))}\n{where(reports)}"


def ceiling_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    """One setting: what merging gains, what slicing tokens off would gain, and the share of it that is reached."""
    low, high = row["share_spread"]
    speedups = f"{row['speedup']:.2f}x", f"{row['ceiling']:.2f}x"
    share = f"{row['share']:.3f} ({low:.3f} to {high:.3f})"
    return row["model"], row["r"], row["batch"], row["threads"], *speedups, share


def ceiling(results: Path) -> str:
    """Token merging against its free-drop ceiling, and the machine it was measured on."""
    path = results / "token_merging.json"
    if not path.exists():
        return MISSING
    measured = json.loads(path.read_text(encoding="utf-8"))
    for row in measured["rows"]:
        if absent := CEILING_KEYS - row.keys():
            raise KeyError(f"{path.name}: a row has no {', '.join(sorted(absent))}")
    versions = ", ".join(f"{name} {version}" for name, version in sorted(measured["versions"].items()))
    made = f"; {commit(measured['commit'])}" if "commit" in measured else ""
    rows = table(CEILING_HEAD, map(ceiling_row, measured["rows"]))
    return f"{rows}\n{''.join(map(aim, measured['rows']))}On {measured['machine']}; {versions}{made}.\n"


AIM = 0.97
"""The share of the ceiling aimed at, for ViT-S shapes with r = 13 on one thread."""


def aim(row: Mapping[str, Any]) -> str:
    """Whether a setting that has an aim meets it; empty for others."""
    if (row["model"], row["r"], row["threads"]) != ("ViT-S/16", 13, 1):
        return ""
    met = "met" if row["share"] >= AIM else "**not met** ([why](docs/methods.md#what-a-merge-costs))"
    return f"The aim for {row['model']}, r={row['r']}, one thread, batch {row['batch']} is {AIM}: {met}.\n\n"


XNNPACK_HEAD = (*CEILING_HEAD[:2], "threads", *CEILING_HEAD[4:], "operations in XNNPACK", "export", "of dense")


def xnnpack_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    """One setting in XNNPACK: speed against the ceiling, what was delegated, and the export's time over pairs."""
    low, high = row["share_spread"]
    placed = row["delegation"]["merged"]
    total = placed["inside"] + sum(placed["outside"].values())
    speed = f"{row['speedup']:.2f}x", f"{row['ceiling']:.2f}x", f"{row['share']:.3f} ({low:.3f} to {high:.3f})"
    fast, slow = row["export_to_dense_spread"]
    of_dense = f"{row['export_to_dense']:.2f}x ({fast:.2f} to {slow:.2f})"
    export = f"{row['export_seconds']['merged']:.0f} s", of_dense
    return row["model"], row["r"], row["threads"], *speed, f"{placed['inside']} of {total}", *export


def xnnpack(results: Path) -> str:
    """Token merging against its free-drop ceiling in ExecuTorch with XNNPACK, and where it was measured."""
    path = results / "executorch_merging.json"
    if not path.exists():
        return MISSING
    measured = json.loads(path.read_text(encoding="utf-8"))
    rows = table(XNNPACK_HEAD, map(xnnpack_row, measured["rows"]))
    versions = ", ".join(f"{name} {version}" for name, version in sorted(measured["versions"].items()))
    return f"{rows}\nOn {measured['machine']}; {versions}; {commit(measured['commit'])}.\n"


def blocks(results: Path) -> dict[str, Callable[[], str]]:
    """``figures bundles``, ``figures moe``, ``figures ceiling`` and ``figures xnnpack``."""
    made = {"bundles": bundles, "ceiling": ceiling, "xnnpack": xnnpack}
    found: dict[str, Callable[[], str]] = {f"figures {name}": partial(made[name], results) for name in made}
    return {**found, "figures moe": partial(bundles, results, "moe_tiny")}
