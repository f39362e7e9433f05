"""A process of its own for Qualcomm's compiler: ``python -m edgetok_exporters.onnx.htp`` with a request on stdin."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgetok_exporters.onnx.device import PROVIDER, add_htp, quiet_stdout

_ERRORS_ONLY = 4


def main() -> None:
    """Answer ``{"entry", "soc", "context"}`` with ``{"placed"}`` or ``{"error"}``, as JSON on stdout."""
    request: dict[str, Any] = json.load(sys.stdin)
    with quiet_stdout():
        try:
            answer: dict[str, Any] = {"placed": place(Path(request["entry"]), request["soc"])}
            if request["context"]:
                compile_context(Path(request["entry"]), Path(request["context"]), request["soc"])
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {str(error).strip()[:500]}"}
    print(json.dumps(answer))


def place(entry: Path, soc: int) -> list[dict[str, Any]]:
    """The pieces a session makes of a file: provider and operators, counted."""
    options = _options(soc)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = ort.InferenceSession(str(entry), options)
    return [
        {"htp": piece.ep_name == PROVIDER, "ops": Counter(node.op_type for node in piece.get_nodes())}
        for piece in session.get_provider_graph_assignment_info()
    ]


def compile_context(entry: Path, made: Path, soc: int) -> None:
    """Write a file in which everything on the HTP is one compiled binary."""
    level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL  # as a session that opens the file would
    compiler = ort.ModelCompiler(
        _options(soc), str(entry), embed_compiled_data_into_model=True, graph_optimization_level=level
    )
    compiler.compile_to_file(str(made))


def _options(soc: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    add_htp(options, soc)
    return options


if __name__ == "__main__":
    main()
