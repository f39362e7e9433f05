"""The support table, from ``benchmarks/results/coverage.json``, which ``benchmarks/coverage.py`` writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from docs.generate.figures import MISSING
from docs.generate.markdown import code, commit, table

WORKS = ("architecture", "class in transformers", "sites", "tokens", "forced identity", "ONNX against torch")
REFUSED = ("architecture", "class in transformers", "why not")


def identity(row: Mapping[str, Any]) -> str:
    """How far a map of every token to itself moves the outputs."""
    return "bit for bit" if row["identity"] == 0 else f"{row['identity']:.0e}"


def file(row: Mapping[str, Any]) -> str:
    """What the exported file differs by, or why there is none."""
    return f"{row['onnx']:.0e}" if isinstance(row["onnx"], float) else str(row["onnx"])


def works_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    """One architecture that is rewritten."""
    tokens = f"{row['tokens'][0]} → {row['tokens'][-1]}"
    return row["name"], code(row["model"]), f"{row['rewritten']} of {row['sites']}", tokens, identity(row), file(row)


def support(results: Path) -> str:
    """A table per kind of what works, then one of what is refused."""
    path = results / "coverage.json"
    if not path.exists():
        return MISSING
    measured = json.loads(path.read_text(encoding="utf-8"))
    rows = measured["rows"]
    works, refused = [r for r in rows if r["works"]], [r for r in rows if not r["works"]]
    parts = [f"{len(works)} of {len(rows)} architectures are rewritten; {len(refused)} are refused.\n"]
    for kind in dict.fromkeys(r["kind"] for r in works):
        parts.append(f"## {kind.capitalize()}\n\n{table(WORKS, [works_row(r) for r in works if r['kind'] == kind])}")
    said = [(r["name"], code(r["model"]), r["reason"]) for r in refused]
    parts.append(f"## Refused\n\n{table(REFUSED, said)}")
    versions = ", ".join(f"{name} {version}" for name, version in sorted(measured["versions"].items()))
    parts.append(f"{versions}; {commit(measured['commit'])}.\n")
    return "\n".join(parts)


def blocks(results: Path) -> dict[str, Callable[[], str]]:
    """The block ``support``."""
    return {"support": lambda: support(results)}
