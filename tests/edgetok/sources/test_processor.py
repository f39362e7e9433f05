"""preprocessor_config.json, in the forms that are found in the wild."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgetok.errors import UnsupportedModel
from edgetok.model import Preprocessing
from edgetok.sources.processor import final_size, read_preprocessing

VIT = {
    "do_resize": True,
    "size": {"height": 224, "width": 200},
    "resample": 3,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}
CLIP = {
    "size": {"shortest_edge": 256},
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "resample": 2,
    "image_mean": [0.48, 0.45, 0.4],
    "image_std": [0.26, 0.26, 0.27],
}


def read(directory: Path, config: dict[str, Any]) -> Preprocessing:
    (directory / "preprocessor_config.json").write_text(json.dumps(config))
    result = read_preprocessing(directory)
    assert result is not None
    return result


def test_height_and_width(tmp_path: Path) -> None:
    result = read(tmp_path, VIT)
    assert (result.size, result.shortest_edge, result.crop, result.resample) == ((224, 200), None, None, "bicubic")
    assert final_size(result) == (224, 200)


def test_shortest_edge_and_crop(tmp_path: Path) -> None:
    result = read(tmp_path, CLIP)
    assert (result.size, result.shortest_edge, result.crop, result.resample) == (None, 256, (224, 224), "bilinear")
    assert (result.mean, final_size(result)) == ((0.48, 0.45, 0.4), (224, 224))


def test_plain_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, {**VIT, "size": 224}).size == (224, 224)
    result = read(tmp_path, {**CLIP, "size": 224, "crop_size": 200})
    assert (result.shortest_edge, result.crop) == (224, (200, 200))


def test_switches_turn_steps_off(tmp_path: Path) -> None:
    off = {"do_resize": False, "do_center_crop": False, "do_rescale": False, "do_normalize": False}
    result = read(tmp_path, {**CLIP, **off})
    assert (result.size, result.shortest_edge, result.crop, result.rescale) == (None, None, None, 1.0)
    assert (result.mean, result.std) == ((0.0,) * 3, (1.0,) * 3)


def test_bgr(tmp_path: Path) -> None:
    assert read(tmp_path, {**VIT, "do_flip_channel_order": True}).channel_order == "BGR"


def test_absent_or_for_something_else(tmp_path: Path) -> None:
    assert read_preprocessing(tmp_path) is None
    (tmp_path / "preprocessor_config.json").write_text('{"feature_size": 80, "sampling_rate": 16000}')
    assert read_preprocessing(tmp_path) is None


@pytest.mark.parametrize(
    "change", [{"do_pad": True}, {"size": {"longest_edge": 512}}, {"resample": 17}, {"resample": "x"}, {"image_std": 3}]
)
def test_what_is_not_understood_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModel):
        read(tmp_path, {**VIT, **change})


def test_unreadable(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(UnsupportedModel, match="cannot be read"):
        read_preprocessing(tmp_path)
