"""A small bundle on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgetok.bundle import ComponentEntry, Manifest, ParitySummary, TensorEntry, list_files, write_manifest


@pytest.fixture
def fill() -> Callable[[Path], Manifest]:
    """``fill(directory)`` writes a bundle's files and manifest into an existing directory."""

    def write(directory: Path) -> Manifest:
        (directory / "model.onnx").write_bytes(b"graph")
        (directory / "data").mkdir()
        (directory / "data" / "model.bin").write_bytes(b"\0" * 1000)
        (directory / "recipe.yaml").write_text("model: m\n")
        tensor = TensorEntry(name="x", dtype="float32", shape=("batch", 3, 8, 8))
        component = ComponentEntry(
            name="model", role="classifier", file="model.onnx", inputs=(tensor,), outputs=(tensor,)
        )
        manifest = Manifest(
            model="m",
            source="sample:m",
            target="onnx-cpu",
            exporter="onnx",
            runtime="onnxruntime",
            components=(component,),
            parity=ParitySummary(passed=True, max_abs=1e-6, how="compared"),
            plan_digest="abc",
            files=list_files(directory, {"model.onnx": "model", "data/model.bin": "weights"}),
        )
        write_manifest(directory, manifest)
        return manifest

    return write
