"""Example inputs of a transformers model, made from its config: seeded, batch of two, dynamic batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edgetok.errors import UnsupportedModel

BATCH = 2
MAX_TEXT = 128


def example_inputs(config: Any, parameters: set[str], image: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """Inputs by ``forward`` parameter name for a model with that config.

    Args:
        config: a ``PretrainedConfig``.
        parameters: the names of ``forward``'s parameters.
        image: ``(height, width)`` in pixels; by default what the config says.

    Returns:
        ``pixel_values`` float32 ``[2, C, H, W]`` (``[2, T, C, H, W]`` for clips), and/or ``input_ids`` and
        ``attention_mask`` int64 ``[2, N]`` (the second row ends in padding), or audio ``input_features`` /
        ``input_values``.

    Raises:
        UnsupportedModel: the config says too little.
    """
    if "decoder_input_ids" in parameters:
        raise UnsupportedModel(
            f"{config.model_type} is an encoder-decoder, which is several graphs.",
            why="forward takes decoder_input_ids.",
            hint="Write package.module:factory that returns the encoder and its inputs.",
        )
    generator = torch.Generator().manual_seed(0)
    made: dict[str, Tensor] = {}
    vision, text = getattr(config, "vision_config", None), getattr(config, "text_config", None)
    image_size = getattr(vision or config, "image_size", None)
    if "pixel_values" in parameters and image_size is not None:
        made["pixel_values"] = _pixels(vision or config, image or _pair(image_size), generator)
    if "input_ids" in parameters and hasattr(text or config, "vocab_size"):
        made.update(_text(text or config, parameters, generator))
    if not made:
        made.update(_audio(config, parameters, generator))
    if not made:
        why = f"forward takes {', '.join(sorted(parameters))}; config.json has no image_size, vocab_size or mel bins."
        raise UnsupportedModel(
            f"edgetok cannot make example inputs for {config.model_type}.",
            why=why,
            hint="Write package.module:factory that returns (module, inputs).",
        )
    return made


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, Mapping):
        return int(size["height"]), int(size["width"])
    if isinstance(size, (list, tuple)):
        return int(size[0]), int(size[-1])
    return int(size), int(size)


def _pixels(config: Any, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    channels = int(getattr(config, "num_channels", 3))
    frames = (int(config.num_frames),) if getattr(config, "num_frames", None) else ()
    return torch.randn(BATCH, *frames, channels, *size, generator=generator)


def _text(config: Any, parameters: set[str], generator: torch.Generator) -> dict[str, Tensor]:
    pad = getattr(config, "pad_token_id", None)
    positions = int(getattr(config, "max_position_embeddings", None) or MAX_TEXT)
    length = max(2, min(MAX_TEXT, positions - (pad or 0) - 1 if positions < MAX_TEXT else MAX_TEXT))
    ids = torch.randint(0, int(config.vocab_size), (BATCH, length), generator=generator)
    if pad is not None:
        ids = torch.where(ids == pad, (pad + 1) % int(config.vocab_size), ids)
    if "attention_mask" not in parameters:
        return {"input_ids": ids}
    mask = torch.ones_like(ids)
    mask[1, length - length // 4 :] = 0
    return {"input_ids": ids.masked_fill(mask == 0, pad or 0), "attention_mask": mask}


def _audio(config: Any, parameters: set[str], generator: torch.Generator) -> dict[str, Tensor]:
    if "input_features" in parameters and hasattr(config, "max_source_positions"):
        shape = (BATCH, int(config.num_mel_bins), 2 * int(config.max_source_positions))
        return {"input_features": torch.randn(shape, generator=generator)}
    if "input_values" in parameters and hasattr(config, "num_mel_bins"):
        shape = (BATCH, int(config.max_length), int(config.num_mel_bins))
        return {"input_values": torch.randn(shape, generator=generator)}
    if "input_values" in parameters and hasattr(config, "conv_kernel"):
        return {"input_values": torch.randn(BATCH, 16000, generator=generator)}
    return {}
