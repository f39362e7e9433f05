"""Pictures as input: the model's normalisation goes into the file, unless options say another."""

from __future__ import annotations

import pytest

from edgetok.errors import BadOption
from edgetok.model import Preprocessing
from edgetok.session.pictures import with_normalisation
from edgetok_exporters.coreml import Options

IMAGENET = Preprocessing(rescale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def test_the_models_normalisation_is_folded_in() -> None:
    found = with_normalisation(Options(image=True), IMAGENET)
    assert isinstance(found, Options)
    assert (found.image_mean, found.image_std, found.image_rescale) == (IMAGENET.mean, IMAGENET.std, 1 / 255)


def test_what_options_say_comes_first() -> None:
    given = Options(image=True, image_mean=(0.1, 0.2, 0.3))
    assert with_normalisation(given, IMAGENET) is given


def test_files_that_take_arrays_stay_as_they_are() -> None:
    assert with_normalisation(Options(), IMAGENET) == Options()
    assert with_normalisation(Options(image=True), None) == Options(image=True)


@pytest.mark.parametrize("odd", [{"channel_order": "BGR"}, {"channel_order": "L", "mean": (0.5,), "std": (0.5,)}])
def test_other_channels_are_refused(odd: dict[str, object]) -> None:
    with pytest.raises(BadOption, match="RGB"):
        with_normalisation(Options(image=True), IMAGENET.model_copy(update=odd))
