"""What no ONNX file for a target can be, known from options and formats alone; nothing of onnx is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from edgetok.errors import ExportFailed, TargetRefuses
from edgetok_exporters.onnx.header import HTP

if TYPE_CHECKING:
    from edgetok.precision import Precision
    from edgetok.target import Target
    from edgetok_exporters.onnx import Options


def check_options(target: Target, options: Options) -> None:
    """Refuse options that do not fit the target or its delegate.

    Raises:
        TargetRefuses: it does not run the dtype.
        ExportFailed: they do not fit.
    """
    if options.dtype not in target.dtypes:
        raise TargetRefuses(
            f"target {target.name!r} does not run {options.dtype}",
            why=f"its dtypes are {', '.join(target.dtypes)}",
            hint="set exporter.dtype to one of these, or choose another target",
        )
    why = hint = ""
    if target.delegate == HTP and options.batch == "dynamic":
        why, hint = "its graphs have static shapes", "set exporter.batch to a number"
    elif target.delegate == HTP and options.format == "ort":
        why, hint = "onnxruntime compiles only .onnx files for it, and format is ort", "set exporter.format to onnx"
    elif options.context and target.delegate != HTP:
        why, hint = "a context binary is for Qualcomm's HTP, of target onnx-qnn", "leave out exporter.context"
    if why:
        raise ExportFailed(f"target {target.name!r} does not run such a file", why=why, hint=hint)


def check_formats(precision: Precision, target: Target, dtype: str) -> None:
    """Refuse formats that cannot be fulfilled, before any work and without calibration data.

    Raises:
        TargetRefuses: the target does not list the scheme, or it does not go with the other options.
    """
    scheme = precision.scheme
    if scheme not in target.precisions:
        runs = f"it runs {', '.join(target.precisions) or 'no quantised model'}"
        refuse(target, scheme, runs, "choose another target or other options of quantize: edgetok targets list")
    if dtype == "fp16" and scheme in ("int8-dynamic", "int8-static"):
        refuse(
            target, f"{scheme} with dtype fp16", "onnxruntime quantises fp32 activations", "set exporter.dtype to fp32"
        )
    groups = {format.group for format in precision.weights.values() if format.granularity == "group"}
    if bad := sorted(group for group in groups if group < 16 or group & (group - 1)):
        refuse(
            target, f"groups of {bad[0]}", "MatMulNBits wants a power of 2 from 16 on", "set group of quantize to 32"
        )
    if len(groups) > 1:
        refuse(target, f"groups of {sorted(groups)} in one program", "one pass makes one size", "use one group")


def refuse(target: Target, what: str, why: str, hint: str) -> NoReturn:
    """Raise TargetRefuses."""
    raise TargetRefuses(f"target {target.name!r} does not run {what}", why=why, hint=hint)
