"""The model card: README.md is written from training.json and from nothing else.

python samples/vit_digits/card.py            # README.md again from training.json
"""

from __future__ import annotations

import json
import math
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import ViTForImageClassification

HERE = Path(__file__).resolve().parent

TEXT = """\
---
library_name: transformers
pipeline_tag: image-classification
---
<!-- Written by card.py from training.json. Change those, not this. -->
# vit_digits

A Vision Transformer trained on scikit-learn's handwritten digits. It is small enough to live in a repository and has
enough tokens for token reduction to matter: it is the model of `make demo` and of the tests, and good for nothing else.

| | |
|---|---|
| architecture | ViT, {layers} layers, {channels} channels, {heads} heads, MLP {mlp} |
| tokens | {tokens}: CLS and {patches} patches of {patch}x{patch} |
| parameters | {parameters:,} (fp32) |
| input | {size}x{size} RGB, bicubic from 8x8, normalised to -1..1 (`preprocessor_config.json`) |
| output | 10 logits, the digits 0 to 9 |
| test accuracy | **{test:.1f} %** ({test_right} of {test_n}; 95 % Wilson interval {low:.1f} to {high:.1f}) |
| training accuracy | {train:.1f} % ({train_right} of {train_n}, without augmentation) |

## Data
scikit-learn's `load_digits`: 1797 grey 8x8 scans of handwritten digits, the test part of the UCI set *Optical
Recognition of Handwritten Digits* (E. Alpaydin and C. Kaynak, CC BY 4.0). Split once, stratified by class, with seed
{split_seed}: {train_n} images for training, {test_n} for testing. The scans come from 13 writers who are *not* kept
apart by the split, so the figure says how well the model reads these writers, not others. `data.py` writes either half
as files.

## Training
`train.py`, seed {seed}: {epochs} epochs of AdamW with batches of {batch}, peak learning rate {peak_lr}, cosine to zero,
weight decay {weight_decay} and label smoothing {label_smoothing}; random rotation, scale and shift. In the first
{dropped_epochs} epochs each image keeps a random {keep:.0%} of its patches
([PatchDropout](https://arxiv.org/abs/2208.07220)); the last {full_epochs} see all tokens. The weights are those of the
last step; no choice was made on the test images. It took {minutes:.0f} minutes with {threads} CPU thread(s) of a busy
machine, torch {torch}, transformers {transformers}.

## What it does not show
How much accuracy token reduction costs elsewhere. {patches} patches of an 8x8 scan enlarged to {size}x{size} say nearly
the same thing many times, and a model trained with PatchDropout is used to missing tokens: this model barely notices
reductions that would ruin one that reads photographs. What it shows is that the machinery works, and what it gains.

## Files
- `model.safetensors`, `config.json`, `preprocessor_config.json`: the model
- `training.json`: what was measured; this card is written from it
- `recipe.yaml`: what `make demo` runs
- `data.py`, `train.py`, `card.py`: how all of it was made
"""


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a proportion, in per cent."""
    z = 1.959964
    p = right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return 100 * (centre - half), 100 * (centre + half)


def facts(
    model: ViTForImageClassification,
    schedule: Mapping[str, Any],
    seconds: float,
    threads: int,
    train: tuple[int, int],
    test: tuple[int, int],
) -> dict[str, Any]:
    """What training.json holds: the schedule, the measured accuracies as ``(right, n)``, and the versions used."""
    import sklearn
    import torch
    import transformers
    from data import SPLIT_SEED

    return {
        "schedule": dict(schedule),
        "split_seed": SPLIT_SEED,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(seconds),
        "threads": threads,
        "train": {"right": train[0], "n": train[1]},
        "test": {"right": test[0], "n": test[1]},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def render(measured: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The card as Markdown, from ``training.json`` and ``config.json``."""
    low, high = wilson(measured["test"]["right"], measured["test"]["n"])
    patches = (config["image_size"] // config["patch_size"]) ** 2
    percent = {split: 100 * measured[split]["right"] / measured[split]["n"] for split in ("train", "test")}
    schedule = measured["schedule"]
    return TEXT.format(
        **schedule,
        **measured["versions"],
        **percent,
        epochs=schedule["dropped_epochs"] + schedule["full_epochs"],
        layers=config["num_hidden_layers"],
        channels=config["hidden_size"],
        heads=config["num_attention_heads"],
        mlp=config["intermediate_size"],
        patch=config["patch_size"],
        size=config["image_size"],
        patches=patches,
        tokens=patches + 1,
        parameters=measured["parameters"],
        split_seed=measured["split_seed"],
        train_right=measured["train"]["right"],
        train_n=measured["train"]["n"],
        test_right=measured["test"]["right"],
        test_n=measured["test"]["n"],
        minutes=measured["seconds"] / 60,
        threads=measured["threads"],
        low=low,
        high=high,
    )


def write(directory: Path, measured: Mapping[str, Any] | None = None) -> None:
    """Write ``training.json`` (where ``measured`` is given) and ``README.md``."""
    if measured is not None:
        text = json.dumps(measured, indent=2) + "\n"
        (directory / "training.json").write_text(text, encoding="utf-8")
    stored = json.loads((directory / "training.json").read_text(encoding="utf-8"))
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    (directory / "README.md").write_text(render(stored, config), encoding="utf-8")


if __name__ == "__main__":
    write(HERE)
