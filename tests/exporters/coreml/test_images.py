from __future__ import annotations

import numpy as np
import pytest
import torch

from edgetok.errors import ExportFailed
from edgetok.testing.trial import run
from edgetok.verify.mil import MilRunner, open_package

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
PIXELS = torch.randint(0, 256, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0)).float()


def normalised(pixels):
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels / 255 - mean) / std


@pytest.fixture(scope="module")
def convolution(program):
    torch.manual_seed(0)
    return program(torch.nn.Conv2d(3, 4, 3), {"input": normalised(PIXELS)})


@pytest.fixture(scope="module")
def picture(convolution, target, package):
    return package(convolution, target("coreml-gpu"), image=True, image_mean=MEAN, image_std=STD).entry


def test_the_input_is_a_picture(picture):
    (item,) = open_package(picture).spec.description.input
    assert item.type.WhichOneof("Type") == "imageType"
    assert (item.type.imageType.width, item.type.imageType.height) == (8, 8)


def test_the_program_normalises_pixels_per_channel(picture, convolution):
    runner = MilRunner(picture)
    runner._pixels.clear()
    found = runner({"input": PIXELS.numpy()})["out0"]
    (want,) = run(convolution)
    np.testing.assert_allclose(found, want.numpy(), rtol=1e-4, atol=1e-4)


def test_the_interpreter_takes_what_the_program_takes(picture, convolution, difference):
    assert difference(picture, convolution) < 1e-5


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (1, 3, 8), (2, 3, 8, 8)])
def test_what_is_no_picture_is_refused(shape, program, target, package):
    made = program(lambda x: (x + 1,), {"x": torch.randn(shape)})
    with pytest.raises(ExportFailed, match="one picture"):
        package(made, target(), image=True, batch=shape[0])
