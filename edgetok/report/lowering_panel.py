"""The section on what runs where."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgetok.report.frame import how, section, table
from edgetok.report.markup import Markup, tag
from edgetok.report.wording import count, number, scaled

if TYPE_CHECKING:
    from edgetok.report.lowering import Delegated, Lowering
    from edgetok.report.schema import Report

_WORDS = {
    "native": "where the target wants it",
    "fallback": "elsewhere, at a cost",
    "unsupported": "not at all",
}
_PROOF = {
    "run": "The file was run",
    "simulated": "The file was simulated",
    "compiled": "The file was compiled for the device, and not run",
    "lowered": "The file was lowered, and not run",
}


def lowering(report: Report) -> Markup | None:
    """Forecast placement by maker, then what the toolchain counted."""
    found = report.lowering
    if found is None:
        return None
    proven = f"{_PROOF[found.proof]}: {found.verified_by}." if found.verified_by else f"{_PROOF[found.proof]} here."
    return section(
        "What runs where",
        tag("p", proven),
        _forecast(found, "forecast, before it is quantised" if report.target.precision else "forecast"),
        _measured(found.measured) if found.measured else None,
        how(found),
    )


def _forecast(found: Lowering, when: str) -> list[Markup | None]:
    if not found.ops:
        return []
    totals: Counter[tuple[str, str]] = Counter()
    for row in found.ops:
        totals[row.placement, row.maker] += row.count
    makers = sorted({row.maker for row in found.ops}, key=lambda maker: (maker != "model", maker))
    rows = [
        (words, *(f"{totals[placement, maker]:,}" for maker in makers))
        for placement, words in _WORDS.items()
        if any(totals[placement, maker] for maker in makers)
    ]
    outside = [row for row in found.ops if row.placement != "native"]
    items = [
        tag("li", tag("code", row.op), f" of {row.maker}: {row.count}", f". {row.why}" if row.why else "")
        for row in sorted(outside, key=lambda row: -row.count)
    ]
    return [
        tag("h3", "Before the export"),
        table(("operations run", *makers), rows),
        tag("p", f"{count(found.partitions, 'partition')} {when}.") if found.partitions else None,
        tag("details", tag("summary", f"{count(len(items), 'kind')} of operation elsewhere"), tag("ul", items))
        if items
        else None,
        tag("p", f"Table of operations: {found.source}", class_="quiet") if found.source else None,
    ]


def _measured(found: Delegated) -> list[Markup | None]:
    rows = [
        (f"operations in {found.delegate or 'the runtime'}", f"{found.inside:,}"),
        ("operations outside", f"{sum(found.outside.values()):,}"),
        ("partitions", f"{found.partitions:,}"),
        *([("size of what it was given", scaled(found.bytes, "B"))] if found.bytes is not None else []),
        *((name, number(value) if isinstance(value, float) else str(value)) for name, value in found.facts.items()),
    ]
    outside = [tag("li", tag("code", op), f": {n}") for op, n in sorted(found.outside.items(), key=lambda i: -i[1])]
    kinds = f"{count(len(outside), 'kind')} of operation outside"
    return [
        tag("h3", "After the export"),
        table((), rows, "facts"),
        tag("details", tag("summary", kinds), tag("ul", outside)) if outside else None,
        tag("p", found.how, class_="how"),
    ]
