"""What each delegate of ExecuTorch wants: a partitioner, operations in its shapes, a quantiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgetok.errors import ExportFailed
from edgetok_exporters.executorch.layout import TABLE, VULKAN, XNNPACK

if TYPE_CHECKING:
    from torch._ops import OpOverload

    from edgetok.target import Target


@dataclass(frozen=True)
class Delegate:
    """One delegate.

    Attributes:
        partitioners: makes its partitioners; an empty list for the portable kernels.
        table: operations to decompose in lowering.
        runs_here: whether the runtime of this machine has it.
        quantiser: makes its pt2e quantiser, given whether activations are dynamic and which nodes to quantise.
    """

    partitioners: Callable[[], list[Any]]
    table: Mapping[OpOverload, Callable[..., Any]] = field(default_factory=dict)
    runs_here: bool = False
    quantiser: Callable[[bool, frozenset[str]], Any] | None = None


def delegate_of(target: Target) -> Delegate:
    """The delegate a target names.

    Raises:
        ExportFailed: ExecuTorch has none of that name.
    """
    known: dict[str, Delegate] = {
        "": Delegate(list, TABLE, runs_here=True),
        "xnnpack": Delegate(_xnnpack, XNNPACK, runs_here=True, quantiser=_xnnpack_quantiser),
        "coreml": Delegate(_coreml, TABLE),
        "vulkan": Delegate(_vulkan, VULKAN),
    }
    if target.delegate not in known:
        raise ExportFailed(
            f"The target {target.name!r} names a delegate that the ExecuTorch exporter does not know.",
            why=f"delegate = {target.delegate!r}; known: {', '.join(filter(None, known))}, or '' for portable kernels",
            hint="Correct the target file.",
        )
    return known[target.delegate]


def _xnnpack() -> list[Any]:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return [XnnpackPartitioner()]


def _xnnpack_quantiser(dynamic: bool, nodes: frozenset[str]) -> Any:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=dynamic)
    quantiser = XNNPACKQuantizer().set_global(config)
    return quantiser.set_filter_function(lambda node: node.name in nodes)


def _coreml() -> list[Any]:
    import coremltools
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    specs = CoreMLBackend.generate_compile_specs(
        compute_precision=coremltools.precision.FLOAT32, minimum_deployment_target=coremltools.target.iOS17
    )
    return [CoreMLPartitioner(compile_specs=specs)]


def _vulkan() -> list[Any]:
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    return [VulkanPartitioner()]
