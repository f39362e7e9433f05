"""The installed targets as tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from docs.generate.markdown import code, table

if TYPE_CHECKING:
    from edgetok.target import Target

HEAD = ("target", "what it is", "dtypes", "quantisation", "proven here by")


def built_in() -> list[Target]:
    """The targets that edgetok itself brings, by name."""
    from edgetok.registry import installed

    found = installed().targets.values()
    own = [held.value for held in found if held.distribution.split()[0] == "edgetok"]
    return sorted(own, key=lambda target: target.name)


def row(target: Target) -> tuple[str, ...]:
    """One target."""
    also = f" ({', '.join(map(code, target.aliases))})" if target.aliases else ""
    precisions = ", ".join(target.precisions) or "-"
    proof = target.verified_by or f"nothing: {target.proof} only"
    return f"{code(target.name)}{also}", target.summary, ", ".join(target.dtypes), precisions, proof


def page() -> str:
    """All targets."""
    return table(HEAD, map(row, built_in()))


def sources() -> str:
    """Where each target's table of operations is from, and what it says of operations with a reason."""
    lines = []
    for target in built_in():
        lines.append(f"### {target.name}\n\n{target.ops.source or 'No table.'}\n")
        lines += [f"- {code(op)}: {target.ops.placement(op)}. {why}" for op, why in sorted(target.ops.why.items())]
        lines.append("")
    return "\n".join(lines)


PACKED_HEAD = ("target", "1 bit", "2 bits", "3 bits", "4 bits", "8 bits", "what it costs", "known from")


def packed() -> str:
    """What becomes of packed weights of each width."""
    return table(PACKED_HEAD, (packed_row(target) for target in built_in()))


def packed_row(target: Target) -> tuple[str, ...]:
    """One target."""
    from edgetok.ops.packed import WIDTHS

    found = target.packed
    words = {"load": "floats at load", "run": "floats in every run", "refused": "refused"}
    widths = [
        f"{found.widened[bits]} bits at load" if bits in found.widened else words.get(found.placement(bits), "native")
        for bits in WIDTHS
    ]
    return code(target.name), *widths, found.cost or "-", found.source or "not tried"


def blocks() -> dict[str, Callable[[], str]]:
    """``targets``, ``targets packed`` and ``targets operations``."""
    return {"targets": page, "targets packed": packed, "targets operations": sources}
