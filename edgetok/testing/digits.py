"""A task with a trained model: the small ViT on handwritten digits that comes with edgetok's source tree."""

from __future__ import annotations

import importlib.util
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from edgetok.model import Component
from edgetok.sources.samples import sample_roots
from edgetok.testing.cases import Case, Task

if TYPE_CHECKING:
    from edgetok.graph import Program
    from edgetok.plugin import TokenReduction

NAME = "vit_digits"
BATCH = 50
_SAID: dict[tuple[int, int], tuple[Program, Tensor]] = {}
"""What programs said of the test images: the dense one is asked for every plugin."""


def case(plugin: TokenReduction, *, at_most: float, every: int = 1, task_only: bool = False) -> Case:
    """The digits case: predictions on every n-th of the 500 test images may move by ``at_most`` nats on average.

    Accuracy is too coarse a measure here: the model was trained with patches left out, and keeps it with most of its
    tokens gone. Skips where the sample's weights, transformers or scikit-learn are absent.
    """
    return Case(
        "vit-digits",
        component,
        plugin,
        Task(partial(divergence, every=every), at_most, "nats of KL divergence from the dense model"),
        export=False,
        task_only=task_only,
    )


def component() -> Component:
    """The trained model: 257 tokens, 8 layers, 10 classes, 32 x 32 pictures."""
    transformers = pytest.importorskip("transformers", reason="the digits model needs transformers")
    module = transformers.ViTForImageClassification.from_pretrained(
        folder(), local_files_only=True, use_safetensors=True, attn_implementation="sdpa"
    )
    pictures, _ = images()
    return Component(NAME, module.eval(), {"pixel_values": pictures[:2]}, {"pixel_values": {0: "batch"}}, "classifier")


def divergence(dense: Program, optimised: Program, every: int = 1) -> float:
    """The mean over every n-th test image of ``KL(dense || optimised)`` of the predicted classes, in nats."""
    want, found = log_probabilities(dense, every), log_probabilities(optimised, every)
    return float((want.exp() * (want - found)).sum(1).mean())


def accuracy(program: Program) -> float:
    """Percent of the test images that a program of the digits model gets right."""
    return 100.0 * float((log_probabilities(program).argmax(1) == images()[1]).double().mean())


def log_probabilities(program: Program, every: int = 1) -> Tensor:
    """``(500 / every, 10)`` float64: what a program of the digits model says of every n-th test image."""
    held, known = _SAID.get((id(program), every), (None, None))
    if held is program and known is not None:
        return known
    module: Any = program.exported.module()
    with torch.no_grad():
        logits = [module(pixel_values=pictures)[0] for pictures in torch.split(images()[0][::every], BATCH)]
    said = torch.cat(logits).double().log_softmax(1)
    _SAID[id(program), every] = program, said
    return said


def folder() -> Path:
    """Where the sample lies, with its weights; skips the test where it does not."""
    found = [root / NAME for root in sample_roots() if (root / NAME / "model.safetensors").is_file()]
    if not found:
        pytest.skip(f"the trained sample {NAME} is not here: it comes with edgetok's source tree")
    return found[0]


@cache
def images() -> tuple[Tensor, Tensor]:
    """The test images, prepared as the model wants them ``(500, 3, 32, 32)``, and their labels ``(500,)``."""
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    spec = importlib.util.spec_from_file_location(f"edgetok_sample_{NAME}_data", folder() / "data.py")
    assert spec is not None
    assert spec.loader is not None
    data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data)
    pictures, labels = data.digits("test")
    return torch.from_numpy(data.pixels(pictures)), torch.from_numpy(labels)
