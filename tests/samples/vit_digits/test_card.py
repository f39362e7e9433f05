"""The card says what was measured, and the weights still measure that."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "samples" / "vit_digits"


@pytest.fixture(scope="module")
def measured(folder):
    return json.loads((folder / "training.json").read_text(encoding="utf-8"))


def test_the_card_is_rendered_from_the_measurements(folder, measured):
    source = "import json, sys, card; print(card.render(*map(json.loads, sys.stdin.read().split('\\0'))), end='')"
    config = (folder / "config.json").read_text(encoding="utf-8")
    command = [sys.executable, "-c", source]
    done = subprocess.run(
        command, cwd=folder, input=f"{json.dumps(measured)}\0{config}", capture_output=True, text=True, check=True
    )
    assert done.stdout == (folder / "README.md").read_text(encoding="utf-8")


def test_the_weights_are_small_and_plain(folder):
    from safetensors import safe_open

    path = folder / "model.safetensors"
    assert path.stat().st_size < 2_000_000
    with safe_open(path, framework="np") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F32"}  # noqa: SIM118  it is no mapping


def test_the_processor_config_is_what_training_used(folder):
    """Through transformers' own processor: the pixels that ``data.pixels`` computes."""
    source = (
        "import data, numpy as np; from PIL import Image; from transformers import ViTImageProcessorPil as P; "
        "images = data.digits('test')[0][:4]; "
        "out = P.from_pretrained('.')([Image.fromarray(i).convert('RGB') for i in images], return_tensors='np'); "
        "print(abs(np.stack(out['pixel_values']) - data.pixels(images)).max())"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=folder, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1e-6  # one float32 rounding at magnitude 1


def test_the_weights_reach_the_stated_accuracy(folder, measured):
    """On all test images; two may differ, for another torch or processor may round a close call otherwise."""
    source = (
        "import train; from transformers import ViTForImageClassification as M; train.torch.set_num_threads(1); "
        "print(*train.accuracy(M.from_pretrained('.'), 'test'))"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=folder, capture_output=True, text=True, check=True)
    right, n = map(int, done.stdout.split())
    assert n == measured["test"]["n"]
    assert abs(right - measured["test"]["right"]) <= 2
    assert right / n >= 0.97
