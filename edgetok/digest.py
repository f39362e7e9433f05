"""What identifies a plan: a hash of recipe, model structure, target and API that is the same in every process."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgetok.plugin import API_VERSION

if TYPE_CHECKING:
    from torch import fx

    from edgetok.graph import Program
    from edgetok.plan import Decision
    from edgetok.plugin import Plugin
    from edgetok.target import Target


def plan_digest(
    program: Program,
    plugins: Sequence[Plugin],
    target: Target,
    decisions: Sequence[Decision],
    scheme: str | None = None,
) -> str:
    """Numbers and names only: rewording a refusal does not make another plan."""
    where = {"name", "exporter", "realisations", "static_shapes", "options"}
    content = {
        "api": API_VERSION,
        "structure": structure(program),
        "plugins": [{"name": p.name, "options": p.options()} for p in plugins],
        "target": target.model_dump(mode="json", include=where),
        "decisions": [[d.site, d.space, d.plugin, d.tokens, d.keep, d.refusal is not None] for d in decisions],
    }
    if scheme is not None:
        content["precision"] = scheme
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def structure(program: Program) -> str:
    """A hash of a program's operations, shapes and wiring; weights and the names of values do not matter."""
    from torch import fx

    numbers = {node: f"%{index}" for index, node in enumerate(program.graph.nodes)}
    symbols: dict[str, str] = {}
    lines = [f"{spec}" for spec in (*program.inputs, *program.outputs)]
    for node in program.graph.nodes:
        args = fx.map_arg((node.args, dict(node.kwargs)), lambda n: _Reference(numbers[n]))
        lines.append(f"{numbers[node]} {node.op} {_target(node)} {args} {_shapes(node.meta.get('val'), symbols)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Reference(str):
    """A node in an argument list, by number."""

    __repr__ = str.__str__


def _target(node: fx.Node) -> str:
    """What a node does, in the same words in every process."""
    target: Any = node.target
    if isinstance(target, str) or type(target).__module__.startswith("torch"):
        return str(target)
    return f"{target.__module__}.{target.__qualname__}"


def _shapes(value: Any, symbols: dict[str, str]) -> str:
    """Dtype and shape of a value, or of every part of it; symbols are numbered as they appear."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(_shapes(part, symbols) for part in value)}]"
    if not hasattr(value, "shape"):
        return ""
    return f"{value.dtype}({', '.join(_size(size, symbols) for size in value.shape)})"


def _size(size: Any, symbols: dict[str, str]) -> str:
    if isinstance(size, int):
        return str(size)
    for name in sorted(map(str, size.node.expr.free_symbols)):
        symbols.setdefault(name, f"symbol{len(symbols)}")
    return re.sub(r"[A-Za-z_]\w*", lambda found: symbols.get(found[0], found[0]), str(size.node.expr))
