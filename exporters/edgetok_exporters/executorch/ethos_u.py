"""Arm's Ethos-U NPUs: what is quantised runs there in integers, what a plugin inserted on the CPU.

Weights have 8 bits and activations 16: in 8 a whole vision transformer comes to nothing (docs/targets/executorch.md).
The partitioner's pieces are TOSA programs. They are kept for :mod:`~edgetok_exporters.executorch.twin`, and the same
bytes are compiled by Vela into what the ``.pte`` file holds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from executorch.backends.arm.ethosu import EthosUCompileSpec
from executorch.backends.arm.quantizer import EthosUQuantizer, get_symmetric_a16w8_quantization_config
from executorch.backends.arm.quantizer.arm_quantizer_utils import NodeFinder
from executorch.backends.arm.tosa.compile_spec import TosaCompileSpec
from executorch.backends.arm.tosa.partitioner import TOSAPartitioner
from torch import Tensor, fx
from torch.fx.passes.operator_support import OperatorSupportBase
from torchao.quantization.pt2e.quantizer import QuantizationSpec

from edgetok_exporters.executorch.quantise import batches
from edgetok_exporters.executorch.ranges import ANNOTATION, bound_softmax, reaching
from edgetok_exporters.executorch.wide import narrow_gelus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch.export import ExportedProgram

    from edgetok.precision import Precision

FLOAT = "edgetok_float"
"""Mark, in ``meta["custom"]``, of what is never quantised: names change in the quantiser's own passes, marks do not."""
LARGEST = torch.iinfo(torch.int16).max
aten = torch.ops.aten
WEIGHTED = frozenset({aten.linear.default, aten.conv1d.default, aten.conv2d.default, aten.convolution.default})


def partitioner(accelerator: str) -> Any:
    """Gives every quantised operation that the accelerator's TOSA profile has to the NPU."""
    profile = EthosUCompileSpec(accelerator).tosa_spec
    return _Partitioner(TosaCompileSpec(profile), additional_checks=[_Quantised()])


class _Partitioner(TOSAPartitioner):  # type: ignore[misc]
    """Arm's, asked once per program: a question per node costs ExecuTorch one more trace of the whole graph."""

    def ops_to_not_decompose(self, ep: ExportedProgram) -> tuple[list[Any], Callable[[fx.Node], bool] | None]:
        ops, keep = super().ops_to_not_decompose(ep)
        found = {op: {bool(keep(node)) for node in ep.graph.find_nodes(op="call_function", target=op)} for op in ops}
        if any(len(answers) > 1 for answers in found.values()):
            return ops, keep
        return [op for op, answers in found.items() if True in answers], None


class _Quantised(OperatorSupportBase):
    """Refuses what a plugin inserted; integers among it (token ids) would be taken otherwise."""

    def is_node_supported(self, submodules: Mapping[str, torch.nn.Module], node: fx.Node) -> bool:
        return not _stays_float(node)


def quantiser(module: Any, example: Mapping[str, Tensor], precision: Precision, accelerator: str) -> Any:
    """Arm's quantiser, int8 weights per channel and static 16-bit activations, for all but what stays floating.

    Args:
        module: its nodes are marked, and wide GELUs narrowed.
        example: inputs of the one batch size.
        precision: weights that it does not name stay in floating point, with their layer.
        accelerator: as Vela names it.
    """
    _mark(module, precision)
    narrow_gelus(module, batches(precision, example))
    made = EthosUQuantizer(EthosUCompileSpec(accelerator))
    formats = _formats()
    made.set_global(formats)
    made.set_node_finder(None, _Floating())
    annotate = made.annotate

    def without_marked(graph: Any) -> Any:
        annotated = annotate(graph)
        for node in annotated.graph.nodes:
            if _stays_float(node):
                node.meta.pop(ANNOTATION, None)
        _leave_outputs(annotated.graph.output_node())
        bound_softmax(annotated.graph, formats.output_activation)
        return annotated

    made.annotate = without_marked
    return made


def _leave_outputs(output: fx.Node) -> None:
    """Return what is never quantised as it is: a token's number in steps of a scale would be another token's."""
    if ANNOTATION in output.meta:
        rounded = output.meta[ANNOTATION].input_qspec_map
        for node in [node for node in rounded if _stays_float(node)]:
            del rounded[node]


def _formats() -> Any:
    """Ranges as wide as values reach: the few far out decide what a model attends to.

    Arm's own 16 bits clip them, and are in steps of 2**-12 or coarser.
    """
    activations = QuantizationSpec(
        dtype=torch.int16,
        quant_min=-LARGEST,
        quant_max=LARGEST,
        qscheme=torch.per_tensor_symmetric,
        observer_or_fake_quant_ctr=reaching(),
    )
    return replace(
        get_symmetric_a16w8_quantization_config(), input_activation=activations, output_activation=activations
    )


class _Floating(NodeFinder):  # type: ignore[misc]
    def find_nodes(self, model: fx.GraphModule) -> Iterator[fx.Node]:
        return (node for node in model.graph.nodes if _stays_float(node))


def _mark(module: Any, precision: Precision) -> None:
    """Mark layers whose weights are not named, and logarithms of sizes: of a size in 8 bits little is left."""
    for node in module.graph.nodes:
        unnamed = node.target in WEIGHTED and str(getattr(node.args[1], "target", "")) not in precision.weights
        if unnamed or (node.target == aten.log.default and _stays_float(node.args[0])):
            node.meta["custom"] = {**node.meta.get("custom", {}), FLOAT: True}


def _stays_float(node: fx.Node) -> bool:
    custom = node.meta.get("custom", {})
    return node.op == "call_function" and bool(custom.get(FLOAT) or custom.get("edgetok", {}).get("plugin"))
