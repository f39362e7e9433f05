"""Writing a model, with its weights inside or in a file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import onnx_ir as ir

from edgetok.errors import ExportFailed

INLINE_LIMIT = 2**31 - 2**20
"""Bytes of weights that fit into one protobuf message, with room for the graph."""


def save(model: ir.Model, directory: Path, stem: str, external: Literal["auto", "always", "never"]) -> list[Path]:
    """Write ``<stem>.onnx`` and perhaps ``<stem>.onnx.data``; returns the files, the model first.

    Raises:
        ExportFailed: the stem is no file name, or weights over 2 GB may not go into a file of their own.
    """
    if Path(stem).name != stem or stem in ("", ".", ".."):
        raise ExportFailed(f"{stem!r} is not a file name", why="it would leave the output directory", hint="")
    weights = size_of_weights(model)
    apart = external == "always" or (external == "auto" and weights > INLINE_LIMIT)
    if external == "never" and weights > INLINE_LIMIT:
        raise ExportFailed(
            "the model does not fit into one file",
            why=f"weights take {weights / 1e9:.1f} GB, a protobuf message ends at 2 GB",
            hint="export with external_data=auto",
        )
    entry, data = directory / f"{stem}.onnx", directory / f"{stem}.onnx.data"
    threshold = 0 if external == "always" else 256
    ir.save(model, entry, external_data=data.name if apart else None, size_threshold_bytes=threshold)
    return [entry, data] if apart else [entry]


def size_of_weights(model: ir.Model) -> int:
    """Bytes of all initializers."""
    return sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)
