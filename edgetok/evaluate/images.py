"""Opening pictures that may be truncated, hostile or no pictures at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.errors import DatasetNotFound, MissingExtra

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def open_image(path: Path) -> Image:
    """A decoded picture; PIL's limit on the number of pixels is an error.

    Raises:
        DatasetNotFound: the file is missing, truncated, too large or no picture.
        MissingExtra: pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("Reading pictures needs pillow.", hint="pip install 'edgetok[images]'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                image.load()
                return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DatasetNotFound(
            f"{path} is not a picture that can be read.",
            why=f"{type(error).__name__}: {error}",
            hint="Remove it from the data, or copy it again.",
        ) from error
