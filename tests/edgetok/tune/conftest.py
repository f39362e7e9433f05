"""A small classifier with seeded weights, its data, and the setting that tuning starts from."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgetok.model import Model
from edgetok.progress import Silent
from edgetok.recipe_file import make_recipe
from edgetok.session.clock import Clock
from edgetok.session.evidence import find_data
from edgetok.session.prepare import find_tools, prepare
from edgetok.testing.blocks import Encoder
from edgetok.testing.zoo import component
from edgetok.tune.judge import Judge
from edgetok.tune.setting import Setting

TOKENS, CHANNELS, LAYERS, CLASSES = 24, 16, 3, 5

SAMPLES = f"""
import numpy as np

def draw(seed, n):
    generator = np.random.default_rng(seed)
    shape = ({TOKENS}, {CHANNELS})
    return [({{"x": generator.standard_normal(shape, dtype=np.float32)}}, i % {CLASSES}) for i in range(n)]

def tuning():
    return draw(1, 12)

def evaluation():
    return draw(2, 16)

def overlapping():
    return draw(2, 16)[:3] + draw(3, 5)

def few():
    return draw(4, 5)
"""


class Classifier(nn.Module):
    """An encoder with no token of its own, and class scores from the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = Encoder(CHANNELS, 2, LAYERS), nn.Linear(CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.encoder(x).mean(1))}


@pytest.fixture(scope="session", autouse=True)
def samples(tmp_path_factory):
    """Importable samples: ``tune_samples:tuning`` and others."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("samples")
    (folder / "tune_samples.py").write_text(SAMPLES)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def model() -> Model:
    """The classifier, as a model in memory."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, TOKENS, CHANNELS), dtype=np.float32))
    part = component("model", Classifier(), {"x": x}, role="classifier")
    return Model(name="tiny", components={"model": part}, source="tiny")


@pytest.fixture
def recipe():
    """A recipe for the classifier; keywords change its parts."""

    def make(**parts):
        data = {"calibration": {"data": "tune_samples:tuning"}, "eval": {"data": "tune_samples:evaluation"}}
        return make_recipe({"model": "tiny", "plugins": "tome:r=2", **data, **parts}, source="test")

    return make


@pytest.fixture(scope="session")
def prepared(model):
    """The classifier captured and planned with ``tome``."""
    wanted = make_recipe({"model": "tiny", "plugins": "tome:r=2"}, source="test")
    return prepare(wanted, find_tools(wanted), model, Clock(Silent()))


@pytest.fixture(scope="session")
def setting(prepared) -> Setting:
    """Without a latency curve."""
    return Setting.of(prepared)


@pytest.fixture(scope="session")
def judge(prepared, samples) -> Judge:
    """On the tuning samples."""
    wanted = make_recipe({"model": "tiny", "eval": {"data": "tune_samples:tuning"}}, source="test")
    return Judge(prepared.program, find_data(prepared, wanted, None), 5, True)
