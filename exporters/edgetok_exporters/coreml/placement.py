"""Which operations of a package leave the processor it is meant for, and who put them there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgetok.exporter import Delegation

if TYPE_CHECKING:
    from edgetok.target import Target

INSERTED = "outside, inserted by "
"""Facts of a delegation: how many operations outside came from one plugin."""


def placement(spec: Any, target: Target, makers: Mapping[str, str]) -> Delegation | None:
    """Look every operation of a package up in the target's table; None for a target without a delegate.

    Args:
        spec: Core ML's ``Model`` message.
        target: its ``ops`` list operations of ML programs as well.
        makers: plugins by the name of an operation's first output.
    """
    if not target.delegate:
        return None
    operations = [(op.type, first_output(op), target.ops.placement(op.type) == "native") for op in _operations(spec)]
    how = f"by operation type, in program order, from the target's table ({target.ops.source}); not measured"
    return count(operations, target, makers, how)


def first_output(operation: Any) -> str:
    """The name of what it makes first; empty where it makes nothing, as what writes a state does."""
    return str(operation.outputs[0].name) if operation.outputs else ""


def count(
    operations: Sequence[tuple[str, str, bool]], target: Target, makers: Mapping[str, str], how: str
) -> Delegation:
    """Operations inside and outside a target's delegate.

    Args:
        operations: in program order: type, name of the first output, whether it runs inside.
        target: names the delegate.
        makers: plugins by the name of an operation's first output.
        how: how it is known.
    """
    inside = [within for _, _, within in operations]
    outside = [(kind, output) for kind, output, within in operations if not within]
    inserted = Counter(makers[output] for _, output in outside if output in makers)
    return Delegation(
        delegate=target.delegate,
        inside=sum(inside),
        outside=dict(sorted(Counter(kind for kind, _ in outside).items())),
        partitions=sum(now and not before for before, now in zip([False, *inside], inside, strict=False)),
        facts={f"{INSERTED}{plugin}": number for plugin, number in sorted(inserted.items())},
        how=how,
    )


def _operations(spec: Any) -> list[Any]:
    """What runs: no constants, and no weights that are expanded at load time."""
    program = spec.mlProgram
    function = program.functions[spec.description.defaultFunctionName or "main"]
    block = function.block_specializations[function.opset]
    return [op for op in block.operations if op.type != "const" and not op.type.startswith("constexpr_")]
