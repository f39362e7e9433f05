"""What each delegate of ExecuTorch wants: a partitioner, operations in its shapes, a quantiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgetok.errors import ExportFailed
from edgetok_exporters.executorch import Options, layout, patches
from edgetok_exporters.executorch.container import ETHOS_U

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager
    from torch import Tensor
    from torch._ops import OpOverload

    from edgetok.precision import Precision
    from edgetok.target import Target


@dataclass(frozen=True)
class Delegate:
    """One delegate.

    Attributes:
        partitioners: makes its partitioners; an empty list for the portable kernels.
        table: operations to decompose in lowering.
        runs_here: whether the runtime of this machine has it.
        quantiser: makes its pt2e quantiser, given whether activations are dynamic and which nodes to quantise.
        whole: makes its pt2e quantiser in place of that, where every operation is quantised and not layers alone; it
            is given the module, which it may change, an example of its inputs, and the formats.
        compile: compiles the partitioned pieces for a device, in place, and says what its compiler estimates.
    """

    partitioners: Callable[[], list[Any]]
    table: Mapping[OpOverload, Callable[..., Any]] = field(default_factory=dict)
    runs_here: bool = False
    quantiser: Callable[[bool, frozenset[str]], Any] | None = None
    whole: Callable[[Any, Mapping[str, Tensor], Precision], Any] | None = None
    compile: Callable[[EdgeProgramManager], Mapping[str, str | int | float]] | None = None


def delegate_of(target: Target, options: Options) -> Delegate:
    """The delegate a target names.

    Raises:
        ExportFailed: ExecuTorch has none of that name.
        MissingExtra: its tools are not installed.
    """
    known: dict[str, Callable[[], Delegate]] = {
        "": lambda: Delegate(list, {**layout.TABLE, **patches.TABLE}, runs_here=True),
        "xnnpack": lambda: Delegate(
            _xnnpack, {**layout.XNNPACK, **patches.TABLE}, runs_here=True, quantiser=_xnnpack_quantiser
        ),
        "coreml": lambda: Delegate(_coreml, layout.TABLE),
        "vulkan": lambda: Delegate(_vulkan, layout.VULKAN),
        ETHOS_U: lambda: _ethos_u(options.accelerator),
    }
    if target.delegate not in known:
        raise ExportFailed(
            f"The target {target.name!r} names a delegate that the ExecuTorch exporter does not know.",
            why=f"delegate = {target.delegate!r}; known: {', '.join(filter(None, known))}, or '' for portable kernels",
            hint="Correct the target file.",
        )
    return known[target.delegate]()


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


def _ethos_u(accelerator: str) -> Delegate:
    from edgetok_exporters.executorch.vela import compile_pieces, need

    need()
    from edgetok_exporters.executorch import ethos_u

    return Delegate(
        lambda: [ethos_u.partitioner(accelerator)],
        layout.ETHOS_U,
        whole=lambda module, example, precision: ethos_u.quantiser(module, example, precision, accelerator),
        compile=lambda edge: compile_pieces(edge, accelerator),
    )
