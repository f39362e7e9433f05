"""Files that take pictures: the model's own normalisation goes into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetok.errors import BadOption

if TYPE_CHECKING:
    from pydantic import BaseModel

    from edgetok.model import Preprocessing

FIELDS = ("image_rescale", "image_mean", "image_std")


def with_normalisation(options: BaseModel, preprocessing: Preprocessing | None) -> BaseModel:
    """An exporter's options; where the file takes pictures and they say no normalisation, with the model's.

    Args:
        options: of any exporter; those without ``image`` are returned as they are.
        preprocessing: the model's; None where that is not known.

    Raises:
        BadOption: the model wants other channels than RGB.
    """
    if not getattr(options, "image", False) or preprocessing is None or set(FIELDS) & options.model_fields_set:
        return options
    if preprocessing.channel_order != "RGB" or len(preprocessing.mean) != 3:
        raise BadOption(
            "exporter.image=true makes a file that takes RGB pictures.",
            why=f"the model's preprocessing gives {preprocessing.channel_order}, {len(preprocessing.mean)} channels",
            hint="Leave exporter.image out, and normalise in the app.",
        )
    values = (preprocessing.rescale, preprocessing.mean, preprocessing.std)
    return options.model_copy(update=dict(zip(FIELDS, values, strict=True)))
