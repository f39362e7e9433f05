"""The same pixels as transformers' PIL image processors."""

from typing import Any

import numpy as np
import pytest

from edgetok.evaluate.preprocess import apply, centre_crop
from edgetok.model import Preprocessing

PIL = pytest.importorskip("PIL.Image", reason="needs edgetok[images]")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIZES = [(40, 30), (30, 40), (33, 33), (227, 301), (17, 90)]


def picture(size: tuple[int, int], mode: str = "RGB") -> Any:
    """A random picture; ``size`` is (width, height)."""
    draw = np.random.default_rng(sum(size))
    return PIL.fromarray(draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resample", [0, 1, 2, 3])
def test_equals_vit(size: tuple[int, int], resample: int) -> None:
    module = pytest.importorskip("transformers.models.vit.image_processing_pil_vit", reason="needs transformers' PIL")
    processor = module.ViTImageProcessorPil(size={"height": 24, "width": 28}, resample=resample)
    name = ("nearest", "lanczos", "bilinear", "bicubic")[resample]
    ours = apply(Preprocessing(size=(24, 28), resample=name), picture(size))
    theirs = processor(picture(size), return_tensors="np")["pixel_values"][0]
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == np.float32


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop", [24, 28, 33])
def test_equals_clip(size: tuple[int, int], crop: int) -> None:
    module = pytest.importorskip("transformers.models.clip.image_processing_pil_clip", reason="needs transformers' PIL")
    processor = module.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": crop, "width": crop})
    ours = apply(
        Preprocessing(shortest_edge=28, crop=(crop, crop), resample="bicubic", mean=MEAN, std=STD), picture(size)
    )
    theirs = processor(picture(size), return_tensors="np")["pixel_values"][0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-7)


def test_modes_and_channel_orders() -> None:
    plain = Preprocessing(rescale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    rgb = apply(plain, picture((6, 4)))
    assert rgb.shape == (3, 4, 6)
    np.testing.assert_array_equal(apply(plain.model_copy(update={"channel_order": "BGR"}), picture((6, 4))), rgb[::-1])
    grey = Preprocessing(rescale=1.0, mean=(0.0,), std=(1.0,), channel_order="L")
    np.testing.assert_array_equal(apply(grey, picture((6, 4)))[0], np.asarray(picture((6, 4), "L")))
    assert apply(plain, picture((6, 4), "RGBA")).shape == (3, 4, 6)
    assert apply(plain, picture((6, 4), "P")).shape == (3, 4, 6)


@pytest.mark.parametrize("height", [3, 4, 5, 8])
@pytest.mark.parametrize("width", [3, 6, 7, 9])
def test_crop_has_the_size_asked_for(height: int, width: int) -> None:
    pixels = np.arange(1, 1 + 3 * 5 * 6, dtype=np.uint8).reshape(3, 5, 6)
    result = centre_crop(pixels, height, width)
    assert result.shape == (3, height, width)
    assert np.count_nonzero(result) == 3 * min(5, height) * min(6, width)
