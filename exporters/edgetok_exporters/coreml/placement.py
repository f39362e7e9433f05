"""Which operations of a package leave the processor it is meant for, and who put them there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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
    operations = _operations(spec)
    native = [target.ops.placement(op.type) == "native" for op in operations]
    outside = [op for op, inside in zip(operations, native, strict=True) if not inside]
    inserted = Counter(makers[op.outputs[0].name] for op in outside if op.outputs[0].name in makers)
    return Delegation(
        delegate=target.delegate,
        inside=sum(native),
        outside=dict(sorted(Counter(op.type for op in outside).items())),
        partitions=sum(now and not before for before, now in zip([False, *native], native, strict=False)),
        facts={f"{INSERTED}{plugin}": count for plugin, count in sorted(inserted.items())},
        how=f"by operation type, in program order, from the target's table ({target.ops.source}); not measured",
    )


def _operations(spec: Any) -> list[Any]:
    """What runs: no constants, and no weights that are expanded at load time."""
    program = spec.mlProgram
    function = program.functions[spec.description.defaultFunctionName or "main"]
    block = function.block_specializations[function.opset]
    return [op for op in block.operations if op.type != "const" and not op.type.startswith("constexpr_")]
