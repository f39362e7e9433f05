"""A few lines of code, per runtime, that load and run the delivered file; kept true by a test that runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetok.report.schema import Delivered, Io, Report

ONNXRUNTIME = """\
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({entry!r}, providers=["CPUExecutionProvider"])
inputs = {{
{inputs}
}}
outputs = session.run(None, inputs)
for output, values in zip(session.get_outputs(), outputs):
    print(output.name, values.shape)"""


def load_snippet(report: Report) -> str | None:
    """Python that runs the delivered file from within the bundle, or None for a runtime without Python."""
    if report.target.runtime.split()[0].lower() != "onnxruntime":
        return None
    return _onnxruntime(report.delivered)


def _onnxruntime(delivered: Delivered) -> str:
    inputs = "\n".join(f"    {spec.name!r}: {_filled(spec)}," for spec in delivered.inputs)
    return ONNXRUNTIME.format(entry=delivered.entry, inputs=inputs)


def _filled(spec: Io) -> str:
    """An array of the right shape: ones for masks (nothing is padding), zeros for the rest; symbols count 1."""
    make = "ones" if "mask" in spec.name else "zeros"
    shape = tuple(size if isinstance(size, int) else 1 for size in spec.shape)
    return f"np.{make}({shape}, dtype={spec.dtype.removeprefix('torch.')!r})"
