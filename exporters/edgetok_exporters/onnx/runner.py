"""Running an ONNX file here, in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from edgetok.errors import EdgetokError, RuntimeFailed
from edgetok.exporter import check_names
from edgetok_exporters.onnx.device import open_session
from edgetok_exporters.onnx.header import read_metadata

_ERRORS_ONLY = 4


class OnnxRunner:
    """An ONNX file loaded by onnxruntime. Calling it maps named arrays to named arrays.

    Args:
        entry: the ``.onnx`` or ``.ort`` file; external data is found beside it.
        threads: threads inside an operator, None for all cores. Operators run one after the other.

    Attributes:
        input_names: in the program's order.
        output_names: in the program's order, then exposed values.

    Raises:
        MissingExtra: the file is for a device whose package is not installed.
        RuntimeFailed: the file is no ONNX file, or onnxruntime refuses it.
    """

    def __init__(self, entry: Path, *, threads: int | None = None) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        metadata = read_metadata(entry)
        try:
            self.session = open_session(entry, options, metadata)
        except EdgetokError:
            raise
        except Exception as error:
            raise _failure(f"onnxruntime cannot load {entry.name}", error) from error
        self.entry = entry
        self.input_names = tuple(value.name for value in self.session.get_inputs())
        self.output_names = tuple(value.name for value in self.session.get_outputs())

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once.

        Args:
            inputs: one array per name in ``input_names``, of the file's dtypes.

        Raises:
            RuntimeFailed: names, shapes or dtypes do not fit, or an operator fails.
        """
        check_names(self.entry.name, self.input_names, inputs)
        try:
            values = self.session.run(None, {name: np.ascontiguousarray(array) for name, array in inputs.items()})
        except Exception as error:
            raise _failure(f"onnxruntime cannot run {self.entry.name}", error) from error
        return dict(zip(self.output_names, values, strict=True))


def _failure(what: str, error: Exception) -> RuntimeFailed:
    return RuntimeFailed(
        what,
        why=f"{type(error).__name__}: {str(error).strip()[:500]}",
        hint=f"this is onnxruntime {ort.__version__}; check the inputs' shapes and dtypes, or export another opset",
    )
