"""Where Core ML itself runs the operations of a package: its compute plan, which only macOS has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edgetok.exporter import Delegation
from edgetok_exporters.coreml.convert import toolchain
from edgetok_exporters.coreml.placement import count, first_output

if TYPE_CHECKING:
    from edgetok.target import Target

DEVICES = {
    "MLNeuralEngineComputeDevice": "neural-engine",
    "MLGPUComputeDevice": "gpu",
    "MLCPUComputeDevice": "cpu",
}
"""Targets' names of the classes of compute devices."""
HOW = "by Core ML's compute plan on this Mac: the device that it prefers for each operation"
UNKNOWN = "compute plan"
"""A fact of a delegation that was looked up in a table although this is a Mac: why there is no plan."""


@dataclass(frozen=True)
class Placed:
    """One operation: its type (``"matmul"``), its first output, and the device that Core ML prefers for it."""

    kind: str
    output: str
    device: str


def placements(package: Path, function: str = "main") -> list[Placed]:
    """The operations of one function of a package in order, without constants.

    Raises:
        KeyError: the package has no such function.
        Exception: whatever coremltools raises, where this is no macOS of 14.4 or later, or Core ML refuses the package.
    """
    ct = toolchain()
    from coremltools.models.compute_plan import MLComputePlan

    with TemporaryDirectory(prefix="edgetok-coreml-") as folder:
        compiled = ct.models.utils.compile_model(str(package), str(Path(folder, "model.mlmodelc")))
        plan = MLComputePlan.load_from_path(compiled)
        functions = plan.model_structure.program.functions
        return list(_placed(plan, functions[function].block.operations))


def _placed(plan: Any, operations: Any) -> Iterator[Placed]:
    for operation in operations:
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is None:
            continue
        device = type(usage.preferred_compute_device).__name__
        kind = re.sub(r"^ios\d+\.", "", operation.operator_name)
        yield Placed(kind, first_output(operation), DEVICES.get(device, device))


def measured(
    package: Path, function: str, target: Target, makers: Mapping[str, str], predicted: Delegation | None
) -> Delegation | None:
    """What Core ML says of a package that was written, in place of what the target's table says.

    Args:
        package: the ``.mlpackage``.
        function: its default function.
        target: says which device is meant.
        makers: plugins by the name of an operation's first output.
        predicted: returned, with the reason, where Core ML gives no plan.
    """
    if predicted is None:
        return None
    try:
        found = placements(package, function)
    except Exception as error:
        why = f"none: {type(error).__name__}: {str(error).strip()[:200]}"
        return replace(predicted, facts={**predicted.facts, UNKNOWN: why})
    made = count([(p.kind, p.output, p.device == target.delegate) for p in found], target, makers, HOW)
    devices = Counter(place.device for place in found)
    return replace(made, facts={**{f"on {name}": number for name, number in sorted(devices.items())}, **made.facts})
