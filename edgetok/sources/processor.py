"""``preprocessor_config.json`` of a transformers directory, as :class:`edgetok.model.Preprocessing`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetok.errors import UnsupportedModel
from edgetok.model import Preprocessing

_RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
_CHANNELS = ("RGB", "BGR", "L")


def read_preprocessing(directory: Path) -> Preprocessing | None:
    """What the model's image processor does; None where the directory has none, or one for something else.

    Understands the sizes ``{"height", "width"}``, ``{"shortest_edge"}`` and a plain number, centre crops, and the
    ``do_resize``, ``do_center_crop``, ``do_rescale`` and ``do_normalize`` switches.

    Raises:
        UnsupportedModel: the file is unreadable or asks for something else (padding, longest edges).
    """
    path = directory / "preprocessor_config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text())
        if "image_mean" not in config and "size" not in config:
            return None
        return _read(config, path.name)
    except UnsupportedModel:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise UnsupportedModel(f"{path.name} cannot be read.", why=f"{type(error).__name__}: {error}") from error


def _read(config: Mapping[str, Any], source: str) -> Preprocessing:
    if config.get("do_pad"):
        raise UnsupportedModel(f"{source} asks for padding, which edgetok does not do.", why="do_pad is true.")
    resize = config.get("do_resize", True)
    size, edge = _size(config.get("size"), config) if resize else (None, None)
    crop = _crop(config.get("crop_size")) if config.get("do_center_crop", False) else None
    normalise = config.get("do_normalize", True)
    mean = tuple(config.get("image_mean") or (0.5, 0.5, 0.5)) if normalise else (0.0, 0.0, 0.0)
    std = tuple(config.get("image_std") or (0.5, 0.5, 0.5)) if normalise else (1.0, 1.0, 1.0)
    flip = config.get("do_flip_channel_order", False)
    return Preprocessing(
        size=size,
        shortest_edge=edge,
        resample=_RESAMPLE[int(config.get("resample", 2))],
        crop=crop,
        rescale=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0,
        mean=mean,
        std=std,
        channel_order=_CHANNELS[1] if flip else _CHANNELS[2] if len(mean) == 1 else _CHANNELS[0],
        source=source,
    )


def _size(size: Any, config: Mapping[str, Any]) -> tuple[tuple[int, int] | None, int | None]:
    if isinstance(size, (int, float)):
        edge_style = config.get("do_center_crop", False) and not config.get("default_to_square", False)
        return (None, int(size)) if edge_style else ((int(size), int(size)), None)
    if isinstance(size, (list, tuple)):
        return (int(size[0]), int(size[1])), None
    if size and "shortest_edge" in size and "longest_edge" not in size:
        return None, int(size["shortest_edge"])
    if size and {"height", "width"} <= set(size):
        return (int(size["height"]), int(size["width"])), None
    raise UnsupportedModel("The image processor's size is of a kind edgetok does not know.", why=f"size is {size!r}.")


def _crop(crop: Any) -> tuple[int, int] | None:
    if crop is None:
        return None
    if isinstance(crop, (int, float)):
        return int(crop), int(crop)
    return int(crop["height"]), int(crop["width"])


def final_size(preprocessing: Preprocessing | None) -> tuple[int, int] | None:
    """Height and width of what the preprocessing gives, where they are fixed."""
    if preprocessing is None:
        return None
    return preprocessing.crop or preprocessing.size
