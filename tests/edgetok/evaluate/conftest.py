"""Pictures on disk."""

from pathlib import Path

import numpy as np
import pytest

PIL = pytest.importorskip("PIL.Image", reason="needs edgetok[images]")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six pictures of different sizes and modes, and a labels.tsv."""
    draw = np.random.default_rng(0)
    rows = []
    for index, (mode, channels) in enumerate([("RGB", 3), ("L", 0), ("RGBA", 4), ("RGB", 3), ("RGB", 3), ("RGB", 3)]):
        size = (20 + 5 * index, 31 - 3 * index)
        shape = (*size, channels) if channels else size
        PIL.fromarray(draw.integers(0, 256, shape, dtype=np.uint8), mode).save(tmp_path / f"{index}.png")
        rows.append(f"{index}.png\t{index % 3}")
    (tmp_path / "labels.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path
