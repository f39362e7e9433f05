"""Write pillow.json: what Pillow and NumPy make of small images, for the JavaScript to equal.

``python mobile_demo/web/test/pillow_vectors.py`` rewrites it beside this file.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
SIZES = ((32, 32), (5, 7), (8, 40), (13, 17))
HALF: dict[str, Any] = {"rescale": 1 / 255, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "layout": "NCHW"}
SETTINGS: tuple[dict[str, Any], ...] = (
    {"size": [32, 32], "resample": "bicubic", "channel_order": "RGB", **HALF},
    {"shortest_edge": 10, "crop": [8, 8], "resample": "bilinear", "channel_order": "BGR", **HALF},
    {"size": [6, 6], "resample": "lanczos", "channel_order": "L", **HALF, "mean": [0.1307], "std": [0.3081]},
    {"shortest_edge": 9, "crop": [7, 12], "resample": "bicubic", "channel_order": "RGB", **HALF,
     "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
)  # fmt: skip


def picture(height: int, width: int, seed: int) -> Image.Image:
    """Noise with hard edges, so that negative lobes are clipped."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise[: height // 2, : width // 3] = 255
    noise[height // 2 :, width // 2 :] = 0
    return Image.fromarray(noise)


def packed(array: np.ndarray[Any, Any]) -> str:
    """Bytes of an array as base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def described(image: Image.Image) -> dict[str, Any]:
    """An image as the JavaScript has it."""
    return {"width": image.width, "height": image.height, "data": packed(np.asarray(image))}


def preprocessed(image: Image.Image, settings: dict[str, Any]) -> np.ndarray[Any, Any]:
    """``[channels, height, width]`` float32: resize, crop from the centre, rescale, normalise."""
    resample = Image.Resampling[settings["resample"].upper()]
    ordered = image.convert("L") if settings["channel_order"] == "L" else image
    if "size" in settings:
        height, width = settings["size"]
    else:
        edge, short, long = settings["shortest_edge"], min(image.size), max(image.size)
        other = int(edge * long / short)
        width, height = (edge, other) if image.width <= image.height else (other, edge)
    resized = ordered.resize((width, height), resample)
    if "crop" in settings:
        top, left = (height - settings["crop"][0]) // 2, (width - settings["crop"][1]) // 2
        resized = resized.crop((left, top, left + settings["crop"][1], top + settings["crop"][0]))
    pixels = np.asarray(resized, np.float64).reshape(resized.height, resized.width, -1)
    pixels = pixels[:, :, ::-1] if settings["channel_order"] == "BGR" else pixels
    scaled: np.ndarray[Any, Any] = (pixels * settings["rescale"] - settings["mean"]) / settings["std"]
    return scaled.transpose(2, 0, 1).astype(np.float32)


def vectors() -> dict[str, Any]:
    """All cases."""
    image = picture(11, 14, seed=0)
    resized = [
        {"resample": name, "to": described(image.resize(size, Image.Resampling[name.upper()]))}
        for name in FILTERS
        for size in SIZES
    ]
    pipelines = []
    for settings in SETTINGS:
        out = preprocessed(image, settings)
        pipelines.append({"settings": settings, "shape": [1, *out.shape], "data": packed(out)})
    return {"image": described(image), "resize": resized, "preprocess": pipelines}


def text() -> str:
    """The file's text."""
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("pillow.json").write_text(text(), encoding="utf-8")
