"""Pictures to model inputs in PIL and numpy, as transformers' PIL image processors do it.

resize -> centre crop -> multiply by ``rescale`` -> ``(x - mean) / std``; the output is float32 ``[C, H, W]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from edgetok.model import Preprocessing


def apply(preprocessing: Preprocessing, image: Image) -> NDArray[np.float32]:
    """One picture as the model's input.

    Args:
        preprocessing: what to do.
        image: of any size and mode; converted to RGB, or to grey where ``channel_order`` is ``"L"``.

    Returns:
        float32 ``[C, H, W]``, C = 1 for grey and 3 else.
    """
    image = _resized(preprocessing, image.convert("L" if preprocessing.channel_order == "L" else "RGB"))
    pixels = np.asarray(image, dtype=np.uint8)
    pixels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    if preprocessing.channel_order == "BGR":
        pixels = pixels[::-1]
    if preprocessing.crop is not None:
        pixels = centre_crop(pixels, *preprocessing.crop)
    scaled = (pixels.astype(np.float64) * preprocessing.rescale).astype(np.float32)
    mean = np.asarray(preprocessing.mean, dtype=np.float32)[:, None, None]
    std = np.asarray(preprocessing.std, dtype=np.float32)[:, None, None]
    return np.ascontiguousarray((scaled - mean) / std)


def _resized(preprocessing: Preprocessing, image: Image) -> Image:
    from PIL.Image import Resampling

    width, height = image.size
    if preprocessing.size is not None:
        height, width = preprocessing.size
    elif preprocessing.shortest_edge is not None:
        edge = preprocessing.shortest_edge
        width, height = (edge, int(edge * height / width)) if width <= height else (int(edge * width / height), edge)
    else:
        return image
    return image.resize((width, height), Resampling[preprocessing.resample.upper()])


def centre_crop(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Cut ``[C, height, width]`` from the centre of ``[C, H, W]``; what is too small is padded with zeros."""
    for axis, wanted in ((1, height), (2, width)):
        have = pixels.shape[axis]
        if have < wanted:
            before = -((have - wanted) // 2)
            padding = [(0, 0)] * 3
            padding[axis] = (before, wanted - have - before)
            pixels = np.pad(pixels, padding)
        start = (max(have, wanted) - wanted) // 2
        pixels = np.take(pixels, range(start, start + wanted), axis=axis)
    return pixels
