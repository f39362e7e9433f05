"""Small models with random weights on disk, and the command line run on them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgetok
from edgetok.session import Result
from edgetok.testing import zoo

QUICK = {"bench": {"enabled": False}, "parity": {"samples": 4}}
PROCESSOR = {"do_resize": True, "size": {"height": 40, "width": 40}, "resample": 2, "image_mean": [0.5] * 3}
BERT = {**zoo.TEXT, "max_position_embeddings": 25, "pad_token_id": 0, "num_labels": 3}

MODULE = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        layer = lambda: nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.ModuleList([layer(), layer()])
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return {"logits": self.head(x.mean(1))}

class Odd(Tiny):
    def forward(self, x):
        if x.sum() > 0:  # the line that cannot be captured
            return super().forward(x)
        return {"logits": x.mean((1, 2))}

def make():
    return Tiny().eval(), {"x": torch.randn(2, 12, 16)}

def odd():
    return Odd().eval(), {"x": torch.randn(2, 12, 16)}

def half():
    return Tiny().eval().half(), {"x": torch.randn(2, 12, 16).half()}

def linear():
    return nn.Linear(16, 3).eval(), {"input": torch.randn(2, 16)}

def raising():
    raise RuntimeError("this factory is broken")

def nothing():
    return 3

def samples():
    torch.manual_seed(1)
    return [({"x": torch.randn(12, 16).numpy()}, i % 3) for i in range(10)]

def one_sample():
    return samples()[:1]

def wrong_names():
    return [({"y": torch.randn(12, 16).numpy()}, 0)]

def wrong_shapes():
    return [({"x": torch.randn(13, 16).numpy()}, 0)]

def wrong_classes():
    return [(sample, 7) for sample, _ in samples()]
"""


@dataclass(frozen=True)
class Said:
    """What a command line said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Line:
    """The command line, run in this process with a folder as the working directory."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> Said:
        """Run it."""
        from edgetok.cli.main import main

        self.capture.readouterr()
        with chdir(self.folder):
            status = main([str(argument) for argument in arguments])
        captured = self.capture.readouterr()
        return Said(status, captured.out, captured.err)


@pytest.fixture
def line(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Line:
    """``line("optimize", ...)`` in an empty folder."""
    for name, value in {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("EDGETOK_DEBUG", raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    return Line(folder, capfd)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the module path with ``shop_models``: factories and samples."""
    import sys

    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop_models.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def tiny(shop: Path) -> Callable[[], tuple[torch.nn.Module, dict[str, torch.Tensor]]]:
    """A module of 12 tokens with its example inputs, the same in every call."""
    import shop_models

    def make() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        return shop_models.make()

    return make


@dataclass
class Models:
    """Transformers directories, each saved when it is first asked for."""

    root: Path
    made: dict[str, Path] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Path:
        """The directory of ``vit``, ``bert``, ``dinov2`` or ``clip``."""
        if name not in self.made:
            self.made[name] = self.root / name
            _MODELS[name]().module.save_pretrained(self.made[name])
            (self.made[name] / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
            if name == "vit":
                (self.made[name] / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
        return self.made[name]


_MODELS: Mapping[str, Callable[[], Any]] = {
    "vit": zoo.vit,
    "bert": lambda: zoo.hugging_face("BertForSequenceClassification", "BertConfig", BERT, zoo.sentences, "classifier"),
    "dinov2": zoo.dinov2,
    "clip": zoo.clip_vision,
    "swin": zoo.windowed,
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """``models["vit"]``: a transformers directory of random weights."""
    return Models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def delivered(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Result]:
    """``delivered("vit", "tome:r=4")``: a bundle, made once per session."""

    @cache
    def once(model: str, plugins: str, settings: str) -> Result:
        output = tmp_path_factory.mktemp("bundles") / "out"
        parts = {**QUICK, **json.loads(settings)}
        return edgetok.optimize(models[model], plugins=plugins, target="onnx", output=output, **parts)

    def make(model: str, plugins: str = "", settings: str = "{}") -> Result:
        return once(model, plugins, settings)

    return make


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``class folder / picture``: 7 classes, named by index, with two pictures each."""
    from PIL import Image

    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for index in range(7):
        (root / str(index)).mkdir()
        for number in range(2):
            pixels = random.integers(0, 256, (48, 52, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / str(index) / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], set[str]]:
    """Every file under a folder but compiled modules."""

    def files(folder: Path) -> set[str]:
        paths = (Path(top) / name for top, _, names in os.walk(folder) for name in names)
        return {path.relative_to(folder).as_posix() for path in paths if "__pycache__" not in path.parts}

    return files
