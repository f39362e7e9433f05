"""Reductions for diffusion in Core ML and ExecuTorch: the file computes what the rewritten program does.

Core ML packages are evaluated op by op from disk where there is no Core ML; ExecuTorch programs are run. Exports are
slow, so the quick one has a reduction in a block alone, as diffusion transformers do; the exhaustive ones are of other
targets, or have another reduction, in an attention as U-Nets have it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgetok.graph import rewrite
from edgetok.model import Component
from edgetok.registry import installed
from edgetok.requirements import missing
from edgetok.testing import zoo
from edgetok.testing.delivery import SAME, precise_options
from edgetok.testing.diffusion import Modulated, Spatial
from edgetok.testing.trial import Trial, difference, run, subject


class Denoiser(nn.Module):
    """A level of a U-Net on its way up, and a block of a DiT before the picture grows: 6 x 6 tokens in both.

    Args:
        leveled: whether it has the level.
    """

    def __init__(self, leveled: bool, channels: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(4, channels, 3, padding=1), nn.Conv2d(channels, 4, 3, padding=1)
        self.level, self.block = Spatial(channels, heads) if leveled else None, Modulated(channels, heads)

    def forward(self, sample: Tensor, text: Tensor) -> Tensor:
        x = self.first(sample)
        if self.level is not None:
            x = self.level(x, text)
        tokens = self.block(x.flatten(2).transpose(1, 2), text.mean(1)).transpose(1, 2)
        return self.last(F.interpolate(tokens.reshape(x.shape), scale_factor=2.0, mode="nearest"))


def denoiser(leveled: bool = True) -> Component:
    generator = torch.Generator().manual_seed(7)
    inputs = {"sample": torch.randn(2, 4, 6, 6, generator=generator), "text": torch.randn(2, 3, 8, generator=generator)}
    return zoo.component("denoiser", Denoiser(leveled), inputs)


def block() -> Component:
    return denoiser(leveled=False)


TOMA = ("toma", {"tile": 3, "rounds": 2})
TOMESD = ("toma", {"tile": 3, "method": "tomesd"})
TODO = ("todo", {})
AVERAGE = ("todo", {"pool": "average", "prop_attn": True})


@pytest.mark.parametrize(
    ("name", "in_level", "in_block"),
    [
        pytest.param("coreml-gpu", None, TODO, id="coreml-block"),
        pytest.param("executorch-xnnpack", None, AVERAGE, marks=pytest.mark.exhaustive, id="executorch-block"),
        pytest.param("coreml-gpu", TOMA, TODO, marks=pytest.mark.exhaustive, id="coreml"),
        pytest.param("executorch-xnnpack", TOMA, AVERAGE, marks=pytest.mark.exhaustive, id="executorch"),
        pytest.param("coreml-gpu", TOMESD, TODO, marks=pytest.mark.exhaustive, id="coreml-tomesd"),
        pytest.param("executorch-xnnpack", TOMESD, AVERAGE, marks=pytest.mark.exhaustive, id="executorch-tomesd"),
    ],
)
def test_the_file_computes_what_the_program_does(name, in_level, in_block, tmp_path: Path) -> None:
    target, model = installed().target(name), subject(denoiser if in_level else block)
    if lacking := missing(target.requires):
        pytest.skip(f"{name} needs {', '.join(lacking)}")
    chosen = [each for each in (in_level, in_block) if each]
    plugins = [installed().plugin(plugin, {**options, "min_tokens": 36}) for plugin, options in chosen]
    steps = [Trial(plugin, model).steps[i] for i, plugin in enumerate(plugins)]
    dense, inputs = model.dense_outputs[0], model.program.example
    for step in steps:
        (alone,) = run(rewrite(model.program, [step]))
        assert difference(alone, dense) > 10 * SAME, "what a reduction changes is more than what may differ"
    made = rewrite(model.program, steps)
    exporter = installed().exporter(target.exporter)
    options = precise_options(exporter, target).model_copy(update={"batch": 2})
    entry = exporter.export(made, target, tmp_path, options=options).entry
    found = exporter.load(entry, threads=1)({key: np.asarray(value) for key, value in inputs.items()})
    assert difference(torch.as_tensor(found[made.outputs[0].name]), run(made)[0]) <= SAME
