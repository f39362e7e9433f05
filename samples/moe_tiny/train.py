"""Train the sample, a small mixture of experts, on five kinds of text: about a quarter of an hour on one CPU core.

``python samples/moe_tiny/train.py`` rewrites the model files, ``training.json`` and ``README.md`` beside it.

Every window of a batch comes from one source, and there is no balancing loss: nothing keeps experts alike, so that
they specialise. Nothing is chosen on the held-out text: the weights are those of the last step, rounded to fp16.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import card
import data
import numpy as np
import torch
from measure import measure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

HERE = Path(__file__).resolve().parent
if TYPE_CHECKING:
    from transformers import MixtralForCausalLM


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    steps: int = 4000
    batch: int = 16
    peak_lr: float = 2e-3
    weight_decay: float = 0.1
    warmup: float = 0.03
    seed: int = 0


def build() -> MixtralForCausalLM:
    """The untrained model: 4 layers of 128 channels, 8 experts of 64 of which 2 see a token, bytes in and out."""
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        vocab_size=256,
        hidden_size=128,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=8,
        num_experts_per_tok=2,
        router_aux_loss_coef=0.0,
        max_position_embeddings=data.LENGTH,
        initializer_range=0.04,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return MixtralForCausalLM(config)


def learning_rate(done: float, schedule: Schedule) -> float:
    """Linear warm-up, then half a cosine to zero; ``done`` is the finished part of training, 0..1."""
    if done < schedule.warmup:
        return schedule.peak_lr * done / schedule.warmup
    rest = (done - schedule.warmup) / (1 - schedule.warmup)
    return schedule.peak_lr * 0.5 * (1 + math.cos(math.pi * rest))


def draw(texts: list[Tensor], batch: int, generator: torch.Generator) -> Tensor:
    """Windows at random places of random sources: int64 ``[batch, LENGTH]``."""
    chosen = torch.randint(len(texts), (batch,), generator=generator).tolist()
    places = torch.rand(batch, generator=generator).tolist()
    starts = [int(place * (len(texts[source]) - data.LENGTH)) for source, place in zip(chosen, places, strict=True)]
    cut = [texts[source][start : start + data.LENGTH] for source, start in zip(chosen, starts, strict=True)]
    return torch.stack(cut).long()


def train(model: MixtralForCausalLM, schedule: Schedule) -> None:
    """Train ``model`` in place to predict the next byte."""
    generator = torch.Generator().manual_seed(schedule.seed)
    texts = [torch.from_numpy(np.array(data.tokens(source, "train"))) for source in data.SOURCES]
    optimizer = torch.optim.AdamW(parameter_groups(model, schedule.weight_decay), lr=0.0, betas=(0.9, 0.95))
    total, started = 0.0, time.perf_counter()
    model.train()
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step / schedule.steps, schedule)
        ids = draw(texts, schedule.batch, generator)
        logits = model(input_ids=ids).logits
        loss = cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(
                f"step {step + 1}/{schedule.steps} loss {total / 100:.3f} {time.perf_counter() - started:.0f} s",
                flush=True,
            )
            total = 0.0


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay; norms do not."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def save(model: MixtralForCausalLM, directory: Path) -> MixtralForCausalLM:
    """Write ``config.json`` and ``model.safetensors`` in fp16.

    Returns:
        the model as it will be read: rounded to fp16, in fp32.
    """
    model = model.half().eval()
    model.save_pretrained(directory)
    (directory / "model.safetensors").chmod(0o644)
    (directory / "generation_config.json").unlink(missing_ok=True)
    return model.float()


def main() -> None:
    """Train, measure, save, and write the card from what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--threads", type=int, default=1)
    for name, value in asdict(Schedule()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = vars(parser.parse_args())
    out, threads = arguments.pop("out"), arguments.pop("threads")
    schedule = Schedule(**arguments)
    torch.set_num_threads(threads)
    torch.manual_seed(schedule.seed)
    model = build()
    started = time.perf_counter()
    train(model, schedule)
    seconds = time.perf_counter() - started
    measured = measure(save(model, out))
    card.write(out, card.facts(asdict(schedule), seconds, threads, measured, data.digests()))


if __name__ == "__main__":
    main()
