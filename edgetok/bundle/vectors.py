"""Parity vectors: inputs and the outputs they must give, in one safetensors file that an app can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]

INPUT, OUTPUT = "input.", "output."


def write_vectors(path: Path, inputs: Arrays, outputs: Arrays) -> None:
    """Write named arrays, samples on axis 0, as tensors ``input.NAME`` and ``output.NAME``."""
    import numpy as np
    from safetensors.numpy import save

    named = {INPUT + k: v for k, v in inputs.items()} | {OUTPUT + k: v for k, v in outputs.items()}
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in sorted(named.items())}))


def read_vectors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and expected outputs by name."""
    from safetensors.numpy import load_file

    arrays = load_file(path)
    return (
        {name.removeprefix(INPUT): array for name, array in arrays.items() if name.startswith(INPUT)},
        {name.removeprefix(OUTPUT): array for name, array in arrays.items() if name.startswith(OUTPUT)},
    )
