"""Inputs made from configs."""

from types import SimpleNamespace

import pytest
import torch

from edgetok.errors import UnsupportedModel
from edgetok.sources.example_inputs import example_inputs


def config(**fields: object) -> SimpleNamespace:
    return SimpleNamespace(model_type="some", **fields)


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({"image_size": 16}, (2, 3, 16, 16)),
        ({"image_size": [16, 24], "num_channels": 1}, (2, 1, 16, 24)),
        ({"image_size": {"height": 8, "width": 12}}, (2, 3, 8, 12)),
        ({"image_size": 16, "num_frames": 4}, (2, 4, 3, 16, 16)),
        ({"vision_config": SimpleNamespace(image_size=16)}, (2, 3, 16, 16)),
    ],
)
def test_pictures(fields: dict, shape: tuple[int, ...]) -> None:
    made = example_inputs(config(**fields), {"pixel_values"})
    assert made["pixel_values"].shape == shape
    assert torch.equal(made["pixel_values"], example_inputs(config(**fields), {"pixel_values"})["pixel_values"])


def test_the_size_asked_for_wins() -> None:
    assert example_inputs(config(image_size=16), {"pixel_values"}, (8, 4))["pixel_values"].shape == (2, 3, 8, 4)


@pytest.mark.parametrize("pad", [None, 0, 1, 29])
def test_text_has_padding_only_where_the_mask_says_so(pad: int | None) -> None:
    fields = {"vocab_size": 30, "max_position_embeddings": 514, "pad_token_id": pad}
    made = example_inputs(config(**fields), {"input_ids", "attention_mask"})
    ids, mask = made["input_ids"], made["attention_mask"]
    assert ids.shape == mask.shape == (2, 128)
    assert 0 <= ids.min() <= ids.max() < 30
    assert mask[0].all()
    assert mask[1].tolist() == sorted(mask[1].tolist(), reverse=True)
    assert (mask[1] == 0).sum() == 32
    if pad is not None:
        assert torch.equal(ids == pad, mask == 0)


def test_short_positions_leave_room_for_the_offset() -> None:
    fields = {"vocab_size": 30, "max_position_embeddings": 20, "pad_token_id": 1}
    assert example_inputs(config(**fields), {"input_ids"})["input_ids"].shape == (2, 18)


@pytest.mark.parametrize("parameters", [{"pixel_values"}, {"mesh"}, {"input_ids", "decoder_input_ids"}])
def test_too_little_is_known(parameters: set[str]) -> None:
    with pytest.raises(UnsupportedModel, match=r"package\.module:factory"):
        example_inputs(config(), parameters)
