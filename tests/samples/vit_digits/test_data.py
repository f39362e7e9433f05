"""The digits: a fixed split, written as files that say the same as the arrays."""

from __future__ import annotations

import runpy
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def data(repository):
    """The script's names."""
    return runpy.run_path(str(repository / "samples" / "vit_digits" / "data.py"))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_split_is_stratified_and_disjoint(data):
    train, test = data["digits"]("train"), data["digits"]("test")
    assert (len(train[1]), len(test[1])) == (1297, 500)
    assert abs(np.bincount(train[1]) / 1297 - np.bincount(test[1]) / 500).max() < 0.005
    seen = {image.tobytes() for image in train[0]}
    assert sum(image.tobytes() in seen for image in test[0]) == 0


def test_files_are_the_same_every_time_and_hold_the_digits(data, repository, tmp_path):
    script = repository / "samples" / "vit_digits" / "data.py"
    for out in ("one", "two"):
        subprocess.run([sys.executable, str(script), str(tmp_path / out)], check=True, capture_output=True)
    written = {p.relative_to(tmp_path / "one"): p.read_bytes() for p in (tmp_path / "one").rglob("*.*") if p.is_file()}
    assert written == {
        p.relative_to(tmp_path / "two"): p.read_bytes() for p in (tmp_path / "two").rglob("*.*") if p.is_file()
    }
    images, labels = data["digits"]("test")
    lines = (tmp_path / "one" / "labels.tsv").read_text(encoding="utf-8").splitlines()
    assert [int(line.split("\t")[1]) for line in lines] == labels.tolist()
    first = Image.open(tmp_path / "one" / lines[0].split("\t")[0])
    assert first.mode == "RGB"
    assert (np.asarray(first)[:, :, 1] == images[0]).all()


def test_pixels_are_normalised(data):
    pixels = data["pixels"](data["digits"]("test")[0][:8])
    assert pixels.shape == (8, 3, 32, 32)
    assert pixels.dtype == np.float32
    assert pixels.min() == -1.0
    assert 0.9 < pixels.max() <= 1.0
