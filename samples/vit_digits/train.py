"""Train the sample, a small ViT, on scikit-learn's digits: about fifteen minutes on one CPU core.

``python samples/vit_digits/train.py`` rewrites the model files, ``training.json`` and ``README.md`` beside it.

Half of the epochs drop a random half of the patches (PatchDropout, https://arxiv.org/abs/2208.07220): that halves their
cost and regularises; the last epochs see every token, as evaluation does. Nothing is chosen on the test images: the
weights are those of the last step.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import card
import data
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

HERE = Path(__file__).resolve().parent
if TYPE_CHECKING:
    from transformers import ViTForImageClassification


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    dropped_epochs: int = 30
    full_epochs: int = 10
    keep: float = 0.5
    batch: int = 32
    peak_lr: float = 1e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    warmup: float = 0.05
    seed: int = 0

    @property
    def epochs(self) -> int:
        """All of them."""
        return self.dropped_epochs + self.full_epochs


def build() -> ViTForImageClassification:
    """The untrained model: 32x32 in patches of 2, 257 tokens, 64 channels, 8 layers, 4 heads, 10 classes."""
    from transformers import ViTConfig, ViTForImageClassification

    names = {index: str(index) for index in range(10)}
    config = ViTConfig(
        image_size=32,
        patch_size=2,
        num_channels=3,
        hidden_size=64,
        num_hidden_layers=8,
        num_attention_heads=4,
        intermediate_size=256,
        initializer_range=0.1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    model = ViTForImageClassification(config)
    positions = model.vit.embeddings.position_embeddings
    positions.data[0, 1:] = sine_positions(16, 64)
    return model


def sine_positions(side: int, channels: int) -> Tensor:
    """Where the position embeddings start: sines and cosines of both coordinates, ``[side * side, channels]``.

    Starting from noise, 1297 images are too few to learn which patches are neighbours.
    """
    frequencies = 100.0 ** -torch.linspace(0, 1, channels // 4)
    angles = torch.arange(side)[:, None] * frequencies
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = waves[:, None].expand(side, side, -1), waves[None].expand(side, side, -1)
    return 0.5 * torch.cat([rows, columns], dim=2).reshape(side * side, channels)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by up to 12 degrees, scale by up to 12 %, shift by up to 3 pixels; the border is background.

    Args:
        images: ``[b, 3, h, w]``.
        generator: the source of chance.
    """
    batch = len(images)
    angle, scale, dx, dy = (torch.rand(4, batch, generator=generator) * 2 - 1).unbind(0)
    angle = angle * math.radians(12)
    scale = 1 + 0.12 * scale
    shift = 3 / 16
    cos, sin = scale * angle.cos(), scale * angle.sin()
    theta = torch.stack([cos, -sin, dx * shift, sin, cos, dy * shift], dim=1).view(batch, 2, 3)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images + 1, grid, mode="bilinear", align_corners=False) - 1


def drop_patches(embedded: Tensor, keep: float, generator: torch.Generator) -> Tensor:
    """CLS and a random part of the patches: ``[b, n, c]`` to ``[b, 1 + keep * (n - 1), c]``."""
    batch, tokens, channels = embedded.shape
    kept = int(keep * (tokens - 1))
    chosen = torch.rand(batch, tokens - 1, generator=generator).argsort(1)[:, :kept].sort(1).values + 1
    patches = embedded.gather(1, chosen[:, :, None].expand(-1, -1, channels))
    return torch.cat([embedded[:, :1], patches], dim=1)


def learning_rate(done: float, schedule: Schedule) -> float:
    """Linear warm-up, then half a cosine to zero; ``done`` is the finished part of training, 0..1."""
    if done < schedule.warmup:
        return schedule.peak_lr * done / schedule.warmup
    rest = (done - schedule.warmup) / (1 - schedule.warmup)
    return schedule.peak_lr * 0.5 * (1 + math.cos(math.pi * rest))


def train(model: ViTForImageClassification, schedule: Schedule, pixels: Tensor, labels: Tensor) -> None:
    """Train ``model`` in place on ``pixels [n, 3, 32, 32]`` and ``labels [n]``."""
    generator = torch.Generator().manual_seed(schedule.seed)
    optimizer = torch.optim.AdamW(parameter_groups(model, schedule.weight_decay), lr=0.0, betas=(0.9, 0.98))
    dropping = True
    model.vit.embeddings.register_forward_hook(
        lambda _module, _inputs, out: (
            drop_patches(out, schedule.keep, generator) if dropping and model.training else out
        )
    )
    steps = len(labels) // schedule.batch
    for epoch in range(schedule.epochs):
        dropping = epoch < schedule.dropped_epochs
        order = torch.randperm(len(labels), generator=generator)[: steps * schedule.batch].view(steps, -1)
        total, started = 0.0, time.perf_counter()
        model.train()
        for step, chosen in enumerate(order):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate((epoch + step / steps) / schedule.epochs, schedule)
            logits = model(pixel_values=augment(pixels[chosen], generator)).logits
            loss = cross_entropy(logits, labels[chosen], label_smoothing=schedule.label_smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        print(
            f"epoch {epoch + 1}/{schedule.epochs} loss {total / steps:.3f} {time.perf_counter() - started:.0f} s",
            flush=True,
        )


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay; biases, norms and position embeddings do not."""
    decayed = [p for n, p in model.named_parameters() if p.ndim == 2]
    plain = [p for n, p in model.named_parameters() if p.ndim != 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


@torch.no_grad()
def accuracy(model: ViTForImageClassification, split: data.Split) -> tuple[int, int]:
    """``(right, all)`` on one split."""
    images, labels = data.digits(split)
    model.eval()
    batches = torch.split(torch.from_numpy(data.pixels(images)), 100)
    guesses = torch.cat([model(pixel_values=batch).logits.argmax(1) for batch in batches])
    return int((guesses == torch.from_numpy(labels)).sum()), len(labels)


def save(model: ViTForImageClassification, directory: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``."""
    model.save_pretrained(directory)
    (directory / "model.safetensors").chmod(0o644)
    half = [0.5, 0.5, 0.5]
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": half,
        "image_std": half,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": data.SIZE, "width": data.SIZE},
    }
    text = json.dumps(settings, indent=2) + "\n"
    (directory / "preprocessor_config.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Train, measure, save, and write the card from what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    for name, value in asdict(Schedule()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = vars(parser.parse_args())
    out, threads = arguments.pop("out"), arguments.pop("threads")
    schedule = Schedule(**arguments)
    torch.set_num_threads(threads)
    torch.manual_seed(schedule.seed)
    model = build()
    images, labels = data.digits("train")
    started = time.perf_counter()
    train(model, schedule, torch.from_numpy(data.pixels(images)), torch.from_numpy(labels))
    seconds = time.perf_counter() - started
    save(model, out)
    card.write(
        out, card.facts(model, asdict(schedule), seconds, threads, accuracy(model, "train"), accuracy(model, "test"))
    )


if __name__ == "__main__":
    main()
