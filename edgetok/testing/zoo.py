"""Small models with random weights, of the families that token reduction meets: from configs, with no download."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edgetok.model import Component, Role
from edgetok.testing.blocks import Banded, Encoder, SpaceTime
from edgetok.testing.cases import Case, RefusalCase
from edgetok.testing.diffusion import DiT, MMDiT, UNet

Factory = Callable[[], Component]
"""What makes a model and its example inputs, the same ones every time."""

TOKENS = 24
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
IMAGE = {**SIZES, "image_size": 40, "patch_size": 8}
TEXT = {**SIZES, "vocab_size": 64}


def hugging_face(
    architecture: str, config: str, options: Mapping[str, Any], inputs: Callable[[], dict[str, Tensor]], role: Role
) -> Component:
    """A model of transformers, by the names of its model and config classes; weights are :func:`seeded`.

    Skips the test where transformers is not installed.
    """
    import pytest

    transformers = pytest.importorskip("transformers", reason="this model of the zoo needs transformers")
    made = getattr(transformers, config)(**options, attn_implementation="sdpa")
    return component(architecture, getattr(transformers, architecture)(made), inputs(), role=role)


def component(name: str, module: nn.Module, inputs: dict[str, Tensor], *, role: Role = "generic") -> Component:
    """A component in eval mode with seeded weights and a dynamic batch."""
    return Component(name, seeded(module).eval(), inputs, {key: {0: "batch"} for key in inputs}, role)


def seeded(module: nn.Module) -> nn.Module:
    """Give every parameter a value that matters: the usual small ones would leave all tokens nearly equal."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            if parameter.dim() < 2:
                parameter.copy_(0.1 * noise + (not name.endswith("bias")))
            elif "embed" in name and "project" not in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
    return module


def pictures() -> dict[str, Tensor]:
    """Two pictures of 40 x 40: 5 x 5 patches."""
    return {"pixel_values": torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(2))}


def sentences() -> dict[str, Tensor]:
    """Two sequences of 24 token ids; the first is padded from its 17th on."""
    ids = torch.randint(1, 64, (2, TOKENS), generator=torch.Generator().manual_seed(3))
    real = torch.ones(2, TOKENS, dtype=torch.int64)
    real[0, 16:] = 0
    return {"input_ids": ids, "attention_mask": real}


def features() -> dict[str, Tensor]:
    """Two sequences of 24 vectors."""
    return {"x": torch.randn(2, TOKENS, 32, generator=torch.Generator().manual_seed(4))}


def videos() -> dict[str, Tensor]:
    """Two videos of 10 frames of 24 x 24: 5 x 3 x 3 tokens."""
    return {"pixel_values": torch.randn(2, 10, 3, 24, 24, generator=torch.Generator().manual_seed(6))}


def _picture(architecture: str, config: str, role: Role = "encoder", **options: Any) -> Factory:
    return partial(hugging_face, architecture, config, {**IMAGE, **options}, pictures, role)


def transformer_encoder() -> Component:
    """``nn.TransformerEncoder``: no token with a meaning of its own."""
    return component("transformer-encoder", Encoder(32, 2, 3), features())


def short_encoder() -> Component:
    """The same with two layers: where a toolchain is the subject, and lowering takes long."""
    return component("short-encoder", Encoder(32, 2, 2), features())


def space_time() -> Component:
    """A factorised video block: attention over space with frames folded into the batch, then over time."""
    video = torch.randn(2, 3, 8, 32, generator=torch.Generator().manual_seed(5))
    return component("space-time", SpaceTime(32, 2), {"x": video})


def symbolic_tokens() -> Component:
    """An encoder captured with any number of tokens."""
    made = transformer_encoder()
    return Component(made.name, made.module, made.inputs, {"x": {0: "batch", 1: "tokens"}})


def banded() -> Component:
    """Local attention: a constant band mask."""
    return component("banded", Banded(32, 2, TOKENS), features())


def causal() -> Component:
    """A decoder of transformers: its causal mask is a constant."""
    options = {**TEXT, "num_key_value_heads": 2, "use_cache": False}
    return hugging_face(
        "LlamaModel", "LlamaConfig", options, lambda: {"input_ids": sentences()["input_ids"]}, "generic"
    )


def _noisy(side: int, text: bool = True) -> dict[str, Tensor]:
    """Two noisy latents with their times, and a text of five tokens."""
    generator = torch.Generator().manual_seed(7)
    inputs = {"sample": torch.randn(2, 4, side, side, generator=generator), "timestep": torch.tensor([10, 700])}
    return {**inputs, "text": torch.randn(2, 5, 16, generator=generator)} if text else inputs


def unet() -> Component:
    """The U-Net of latent diffusion: 8 x 8 tokens, 4 x 4, and 8 x 8 again, convolutions between them."""
    return component("unet", UNet(), _noisy(8))


def dit() -> Component:
    """A diffusion transformer: 6 x 6 tokens, blocks modulated by the time."""
    return component("dit", DiT(), _noisy(12, text=False))


def mmdit() -> Component:
    """A diffusion transformer over 5 tokens of text and 6 x 6 of the image together."""
    return component("mmdit", MMDiT(), _noisy(12))


def windowed() -> Component:
    """Swin: attention inside windows."""
    options = {
        "image_size": 48,
        "patch_size": 4,
        "embed_dim": 16,
        "depths": [2, 2],
        "num_heads": [2, 2],
        "window_size": 3,
    }
    inputs = {"pixel_values": torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(2))}
    return hugging_face("SwinModel", "SwinConfig", options, lambda: inputs, "encoder")


vit = _picture("ViTForImageClassification", "ViTConfig", "classifier", num_labels=7)
vit_tokens = _picture("ViTModel", "ViTConfig")
deit = _picture("DeiTForImageClassificationWithTeacher", "DeiTConfig", num_labels=7)
clip_vision = _picture("CLIPVisionModel", "CLIPVisionConfig")
siglip = _picture("SiglipVisionModel", "SiglipVisionConfig")
dinov2 = _picture("Dinov2Model", "Dinov2Config")
dinov2_registers = _picture("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig")
dinov3 = _picture("DINOv3ViTModel", "DINOv3ViTConfig", num_register_tokens=4)
beit = _picture("BeitModel", "BeitConfig", use_relative_position_bias=True)
videomae: Factory = partial(
    hugging_face,
    "VideoMAEModel",
    "VideoMAEConfig",
    {**SIZES, "image_size": 24, "patch_size": 8, "num_frames": 10, "tubelet_size": 2},
    videos,
    "encoder",
)
bert: Factory = partial(hugging_face, "BertModel", "BertConfig", TEXT, sentences, "encoder")
short_bert: Factory = partial(
    hugging_face, "BertModel", "BertConfig", {**TEXT, "num_hidden_layers": 2}, sentences, "encoder"
)

ACCEPTED = (
    Case("vit", vit),
    Case("vit-tokens", vit_tokens, export=False),
    Case("deit", deit, export=False),
    Case("clip-vision", clip_vision, export=False),
    Case("siglip", siglip),
    Case("dinov2", dinov2, export=False),
    Case("dinov2-registers", dinov2_registers, export=False),
    Case("dinov3", dinov3),
    Case("beit", beit),
    Case("bert-padded", bert),
    Case("transformer-encoder", transformer_encoder),
)
"""What a reduction that needs nothing special should accept."""

DENOISERS = (Case("unet", unet), Case("dit", dit, export=False), Case("mmdit", mmdit, export=False))
"""What a reduction that is confined to one attention should accept."""

REFUSED = (
    RefusalCase("swin", windowed, "window"),
    RefusalCase("llama", causal, "causal"),
    RefusalCase("space-time", space_time, "frame"),
    RefusalCase("symbolic-tokens", symbolic_tokens, "symbolic"),
    RefusalCase("banded", banded, "band"),
)
"""What the engine cannot follow; a plugin that keeps the default ``refuses`` refuses it."""


def accepted(*ids: str) -> tuple[Case, ...]:
    """Some of ``ACCEPTED``, by id.

    Raises:
        KeyError: there is no such case.
    """
    known = {case.id: case for case in ACCEPTED}
    return tuple(known[name] for name in ids)


__all__ = [
    "ACCEPTED", "DENOISERS", "REFUSED", "accepted", "banded", "beit", "bert", "causal", "clip_vision",
    "component", "deit", "dinov2", "dinov2_registers", "dinov3", "dit", "features", "hugging_face", "mmdit",
    "pictures", "seeded", "sentences", "short_bert", "short_encoder", "siglip", "space_time", "symbolic_tokens",
    "transformer_encoder", "unet", "videomae", "videos", "vit", "vit_tokens", "windowed",
]  # fmt: skip
