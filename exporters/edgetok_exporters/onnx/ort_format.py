"""onnxruntime's own format: a graph that is optimised already, for builds without the ONNX parser."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

from edgetok.errors import ExportFailed

_ERRORS_ONLY = 4


def to_ort(model: Path, entry: Path) -> None:
    """Convert an ``.onnx`` file; optimisations that suit any CPU are applied, those for this one are not.

    Equal models give files of equal size and meaning, not of equal bytes: onnxruntime writes a table in hash order.

    Raises:
        ExportFailed: onnxruntime refuses the file, or it does not fit into the format.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(entry)
    options.add_session_config_entry("session.save_model_format", "ORT")
    try:
        ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportFailed(
            f"onnxruntime cannot write {entry.name}",
            why=f"{type(error).__name__}: {str(error).strip()[:400]}",
            hint="export with format=onnx",
        ) from error
