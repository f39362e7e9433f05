"""The model card: README.md is written from training.json and from nothing else.

python samples/moe_tiny/card.py            # README.md again from training.json
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).resolve().parent

TEXT = """\
---
library_name: transformers
pipeline_tag: text-generation
---
<!-- Written by card.py from training.json. Change those, not this. -->
# moe_tiny

A mixture-of-experts language model over bytes, trained on five clearly different kinds of text without a balancing
loss, so that its experts specialise. It is small enough to live in a repository: it is the model of the tests of expert
compression and of language models, and good for nothing else.

| | |
|---|---|
| architecture | Mixtral, {layers} layers, {channels} channels, {heads} heads ({kv_heads} for keys and values) |
| experts | {experts} a layer, {inner} channels each, {chosen} see a token |
| parameters | {parameters:,} (fp16), {expert_parameters:,} of them in experts |
| input | {length} tokens, a token is a byte |
| output | {vocabulary} logits a token, of the byte that follows |
| held-out perplexity | **{perplexity:.2f}** a byte, over {windows} windows of {length} bytes |

## What it learned
Perplexity a byte on {per_source} held-out windows of each source, and how its tokens are spread over the experts of
each layer: the entropy in bits, {most:.0f} where all {experts} are used alike. The entropy within a source is lower
than over all text where sources have experts of their own.

{table}

The most used expert of a layer takes {top}, the least used {bottom} of the choices (layer by layer; alike would be
{alike:.1f} %).

## Data
Everything comes with Python or is generated, nothing is downloaded; `data.py` has the rules.

- **prose**: the topics of Python's `help()` (PSF licence)
- **code**: the modules of its standard library (PSF licence)
- **names**: code points and names of the characters of Unicode 3.2 (Unicode licence)
- **sums**: generated additions, subtractions and products
- **records**: generated lines of JSON

A tenth of each is held out, chosen unit by unit (topic, module, character, line) by a checksum of its name, so that no
other version of Python can mix the two. Prose and code differ a little between versions: the figures above are of
Python {python}, and `training.json` has the checksums of its text.

## Training
`train.py`, seed {seed}: {steps} steps of AdamW with {batch} windows of {length} bytes, each window from one source,
peak learning rate {peak_lr}, cosine to zero, weight decay {weight_decay}, no balancing loss. The weights are those of
the last step, rounded to fp16; no choice was made on the held-out text. It took {minutes:.0f} minutes with {threads}
CPU thread(s) of a busy machine, torch {torch}, transformers {transformers}.

## What it does not show
How well a method does on a model people use. Experts this small have little to spare, and sources this different are
routed more clearly than languages or topics are.

## Files
- `model.safetensors`, `config.json`: the model
- `training.json`: what was measured; this card is written from it
- `recipe.yaml`: what may be done with it
- `data.py`, `train.py`, `measure.py`, `card.py`: how all of it was made
"""


def facts(
    schedule: Mapping[str, Any],
    seconds: float,
    threads: int,
    measured: Mapping[str, Any],
    digests: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """What training.json holds: the schedule, what was measured, the checksums of the text, and the versions used."""
    import torch
    import transformers

    return {
        "schedule": dict(schedule),
        "seconds": round(seconds),
        "threads": threads,
        **measured,
        "sha256": {source: dict(splits) for source, splits in digests.items()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
        },
    }


def render(measured: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The card as Markdown, from ``training.json`` and ``config.json``."""
    layers, experts = config["num_hidden_layers"], config["num_local_experts"]
    sources = list(measured["perplexity"])
    return TEXT.format(
        **measured["schedule"],
        **measured["versions"],
        layers=layers,
        channels=config["hidden_size"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        experts=experts,
        inner=config["intermediate_size"],
        chosen=config["num_experts_per_tok"],
        parameters=measured["parameters"],
        expert_parameters=layers * experts * 3 * config["hidden_size"] * config["intermediate_size"],
        length=config["max_position_embeddings"],
        vocabulary=config["vocab_size"],
        perplexity=measured["perplexity_all"],
        windows=measured["held_out_windows"] * len(sources),
        per_source=measured["held_out_windows"],
        most=(experts - 1).bit_length(),
        table=table(measured),
        top=_percent([max(layer) for layer in measured["shares"]]),
        bottom=_percent([min(layer) for layer in measured["shares"]]),
        alike=100 / experts,
        minutes=measured["seconds"] / 60,
        threads=measured["threads"],
    )


def table(measured: Mapping[str, Any]) -> str:
    """Perplexity and entropies by source, as a Markdown table."""
    layers = range(1, len(measured["shares"]) + 1)
    head = "| source | perplexity |" + "".join(f" layer {layer} |" for layer in layers)
    perplexity = {**measured["perplexity"], "all": measured["perplexity_all"]}
    rows = [
        f"| {source} | {perplexity[source]:.2f} |" + "".join(f" {value:.2f} |" for value in entropies)
        for source, entropies in measured["entropy"].items()
    ]
    return "\n".join([head, "|---|" + "---:|" * (1 + len(layers)), *rows])


def _percent(shares: list[float]) -> str:
    return ", ".join(f"{100 * share:.1f}" for share in shares) + " %"


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
