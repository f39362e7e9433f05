"""Compressed weights, by coremltools.optimize: only weights of the model, never what a plugin inserted."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from typing import TYPE_CHECKING, Any

from edgetok.errors import ExportFailed, TargetRefuses
from edgetok.precision import Precision, TensorFormat
from edgetok.silence import quiet

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

    from edgetok.target import Target
    from edgetok_exporters.coreml import Options

LARGE = 2048
"""A smaller weight costs more in tables and scales than it saves."""


def check(precision: Precision | None, target: Target, options: Options) -> None:
    """Refuse what the target or the options cannot give, before any work.

    Raises:
        TargetRefuses: the scheme is not the target's, or needs a newer system.
        ExportFailed: two ways to store the same weights are asked for.
    """
    if precision is None:
        return
    if precision.scheme not in target.precisions:
        raise TargetRefuses(
            f"Target {target.name!r} does not run {precision.scheme}.",
            why=f"it runs {', '.join(target.precisions) or 'no quantised weights'}",
            hint="Choose one of these, or another target.",
        )
    if precision.scheme == "int4-weights" and options.minimum_deployment == "iOS17":
        raise TargetRefuses(
            "iOS 17 has no int4 weights.", why="blocks with their own scales came with iOS 18", hint="Target coreml."
        )
    if precision.scheme == "fp16" and options.dtype == "fp32":
        raise TargetRefuses("An fp32 program keeps fp32 weights.", why="dtype is fp32", hint="Set exporter.dtype=fp16.")
    if options.palettize:
        raise ExportFailed(
            "Weights cannot be both palettised and quantised.",
            why=f"palettize={options.palettize} and {precision.scheme}",
            hint="Leave out exporter.palettize, or the quantize plugin.",
        )


def compress(model: Any, exported: ExportedProgram, precision: Precision | None, options: Options) -> Any:
    """The model with its weights stored as ``precision`` and ``palettize`` say.

    Raises:
        ExportFailed: coremltools cannot compress a weight.
    """
    formats = {} if precision is None else precision.weights
    integers = {name: found for name, found in formats.items() if found.dtype != "fp16"}
    if not integers and not options.palettize:
        return model
    import coremltools.optimize.coreml as cto

    names = _constants(model, exported)
    try:
        with quiet(), redirect_stderr(StringIO()):
            if options.palettize:
                every = _palettizer(cto, options)
                tables = {constant: every for name, constant in names.items() if _is_large(exported, name)}
                return cto.palettize_weights(model, cto.OptimizationConfig(op_name_configs=tables))
            chosen = {names[name]: _quantizer(cto, found) for name, found in integers.items()}
            return cto.linear_quantize_weights(model, cto.OptimizationConfig(op_name_configs=chosen))
    except Exception as error:
        raise ExportFailed(
            "coremltools cannot compress the weights.",
            why=f"{type(error).__name__}: {str(error).strip()[:400]}",
            hint="Leave out the weight it names by the quantize plugin's skip option.",
        ) from error


def _quantizer(cto: Any, found: TensorFormat) -> Any:
    granularity = {"tensor": "per_tensor", "channel": "per_channel", "group": "per_block"}[found.granularity]
    block = {"block_size": found.group} if found.granularity == "group" else {}
    return cto.OpLinearQuantizerConfig(
        mode="linear_symmetric", dtype=found.dtype, granularity=granularity, weight_threshold=0, **block
    )


def _palettizer(cto: Any, options: Options) -> Any:
    grouped = {"granularity": "per_grouped_channel", "group_size": 16} if options.minimum_deployment == "iOS18" else {}
    return cto.OpPalettizerConfig(mode="kmeans", nbits=options.palettize, weight_threshold=LARGE, **grouped)


def _is_large(exported: ExportedProgram, name: str) -> bool:
    weight: Tensor = exported.state_dict[name]
    return weight.dim() >= 2 and weight.numel() >= LARGE


def _constants(model: Any, exported: ExportedProgram) -> dict[str, str]:
    """State-dict names of parameters -> the constant operations that hold them, where there is one."""
    operations = model._mil_program.functions["main"].operations
    held = {operation.name for operation in operations if operation.op_type == "const"}
    found = {}
    for placeholder, name in exported.graph_signature.inputs_to_parameters.items():
        for constant in (placeholder, f"{placeholder}_to_fp16"):
            if constant in held:
                found[str(name)] = constant
    return found
