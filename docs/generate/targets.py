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


def blocks() -> dict[str, Callable[[], str]]:
    """``targets`` and ``targets operations``."""
    return {"targets": page, "targets operations": sources}
