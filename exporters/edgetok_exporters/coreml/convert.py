"""A prepared program as coremltools' model in memory, with the program's names and known makers of its operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetok.errors import ExportFailed
from edgetok.lowering.forecast import maker
from edgetok.silence import quiet

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgetok.graph.program import TensorSpec
    from edgetok_exporters.coreml import Options


@dataclass(frozen=True)
class Converted:
    """A model and who made each of its operations.

    Attributes:
        model: coremltools' ``MLModel``.
        makers: by the name of an operation's first output, the plugin that inserted it; none for the model's own.
    """

    model: Any
    makers: Mapping[str, str]


def toolchain() -> Any:
    """The coremltools package, imported without its remarks on untested versions; this takes seconds."""
    with quiet():
        import coremltools
    return coremltools


def convert(
    exported: ExportedProgram, inputs: Sequence[TensorSpec], outputs: Sequence[str], options: Options
) -> Converted:
    """Convert a prepared program.

    Args:
        exported: what :func:`edgetok_exporters.coreml.prepare.prepare` made.
        inputs: the program's, in order.
        outputs: names for all outputs but states', in order; those come last.
        options: dtype, io and deployment target.

    Raises:
        ExportFailed: coremltools refuses it.
    """
    ct = toolchain()
    makers = _number(exported)
    floats = np.float16 if options.dtype == "fp16" and options.io == "same" else np.float32
    try:
        with quiet(), redirect_stderr(StringIO()), redirect_stdout(StringIO()):
            model = ct.convert(
                exported,
                convert_to="mlprogram",
                inputs=[_input(ct, spec, floats, options) for spec in inputs],
                outputs=_outputs(ct, exported, outputs, floats),
                minimum_deployment_target=getattr(ct.target, options.minimum_deployment),
                compute_precision=ct.precision.FLOAT16 if options.dtype == "fp16" else ct.precision.FLOAT32,
                skip_model_load=True,
            )
            return Converted(model, _makers(model, makers))
    except Exception as error:
        raise ExportFailed(
            "coremltools cannot convert the program.",
            why=f"{type(error).__name__}: {str(error).strip()[:400]}",
            hint=f"This is coremltools {ct.__version__}; please report this with the model's architecture.",
        ) from error


def _input(ct: Any, spec: TensorSpec, floats: type[np.floating[Any]], options: Options) -> Any:
    if spec.dtype == "bool":
        raise ExportFailed(
            f"Core ML takes no truth values: input {spec.name!r}.",
            why="inputs of ML programs are floating or int32",
            hint="Let the model take int64 for this input.",
        )
    if options.image:
        return ct.ImageType(name=spec.name, shape=(1, 3, *spec.shape[2:]), color_layout=ct.colorlayout.RGB)
    return ct.TensorType(name=spec.name, dtype=floats if spec.dtype.startswith("float") else np.int32)


def _outputs(ct: Any, exported: ExportedProgram, names: Sequence[str], floats: type[np.floating[Any]]) -> list[Any]:
    values = [node.meta["val"] for node in exported.graph.output_node().args[0]]
    values = values[len(values) - len(names) :]
    return [
        ct.TensorType(name=name, dtype=floats if value.is_floating_point() else None)
        for name, value in zip(names, values, strict=True)
    ]


def _number(exported: ExportedProgram) -> dict[int, str]:
    """Give every node a number that coremltools carries along; returns the plugins' by number."""
    makers: dict[int, str] = {}
    for number, node in enumerate(exported.graph.nodes):
        node.meta["debug_handle"] = number
        if node.op == "call_function" and (who := maker(node)) != "model":
            makers[number] = who
    return makers


def _makers(model: Any, by_number: Mapping[int, str]) -> dict[str, str]:
    from coremltools.converters.mil.mil.scope import ScopeSource

    found: dict[str, str] = {}
    for operation in model._mil_program.functions["main"].operations:
        numbers = operation.scopes.get(ScopeSource.EXIR_DEBUG_HANDLE) or []
        for number in numbers:
            if number in by_number:
                found[operation.outputs[0].name] = by_number[number]
    return found
