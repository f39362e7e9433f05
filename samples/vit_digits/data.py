"""The digits data: scikit-learn's bundled 8x8 scans, split once and for all, as arrays or as files.

The images are written at their own size (8x8, grey written as RGB); making them 32x32 is the model's preprocessing
(``preprocessor_config.json``: bicubic), so that training, evaluation and an app do the same thing.

``python samples/vit_digits/data.py OUT`` writes ``OUT/labels.tsv`` and ``OUT/images/*.png``, the 500 test images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLIT_SEED = 0
TEST_IMAGES = 500
SIZE = 32

Split = Literal["train", "test"]


def digits(split: Split) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images and labels of one half of a fixed, stratified split.

    Returns:
        ``(images [n, 8, 8] uint8 in 0..255, labels [n] int64 in 0..9)``: 1297 for training, 500 for testing.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = np.rint(bunch.images * (255.0 / 16.0)).astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_IMAGES, random_state=SPLIT_SEED, stratify=labels
    )
    chosen = np.sort(train if split == "train" else test)
    return images[chosen], labels[chosen]


def pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What ``preprocessor_config.json`` says, for arrays: bicubic to 32x32, three channels, ``(x / 255 - 0.5) / 0.5``.

    Args:
        images: ``[n, 8, 8]`` uint8.

    Returns:
        ``[n, 3, 32, 32]`` float32 in about -1..1.
    """
    from PIL import Image

    resized = np.stack(
        [
            np.asarray(Image.fromarray(image).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
            for image in images
        ]
    )
    scaled = (resized.astype(np.float32) / 255.0 - 0.5) / 0.5
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def write(directory: Path, split: Split = "test") -> int:
    """Write ``labels.tsv`` (``file<TAB>class index``) and the PNG files it names; the same bytes every time.

    Returns:
        the number of images.
    """
    from PIL import Image

    images, labels = digits(split)
    (directory / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        name = f"images/{number:04d}.png"
        Image.fromarray(image).convert("RGB").save(directory / name)
        lines.append(f"{name}\t{label}\n")
    (directory / "labels.tsv").write_text("".join(lines), encoding="utf-8")
    return len(lines)


def main() -> None:
    """Write one split to a directory."""
    parser = argparse.ArgumentParser(description="Write scikit-learn's digits as labels.tsv and PNG files.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", choices=("train", "test"), default="test")
    arguments = parser.parse_args()
    count = write(arguments.out, arguments.split)
    print(f"{count} images in {arguments.out}")


if __name__ == "__main__":
    main()
