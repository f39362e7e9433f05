"""Mixtures of experts of the sample's family with random weights, as they are and packed, as programs to export."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from _setting import commit
from safetensors.torch import save_file

from edgetok.graph import Program, capture, rewrite
from edgetok.sources import load_model
from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compress import compress

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "moe_tiny"
CALIBRATION = 8
"""Sequences of random tokens; what experts are worth is no matter here, only what they weigh and take."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; ``hidden == 0`` is the sample itself.

    Attributes:
        name: in tables.
        layers: of the decoder.
        hidden: width of a token.
        inner: width of an expert.
        group: weights that share a scale.
    """

    name: str
    layers: int = 0
    hidden: int = 0
    inner: int = 0
    group: int = 64


SHAPES = (Shape("moe_tiny"), Shape("Mixtral, 4 layers of 512", layers=4, hidden=512, inner=1024, group=128))


def directory_of(shape: Shape, place: Path) -> Path:
    """A transformers directory of that shape, made in ``place`` if it is not there."""
    if not shape.hidden:
        return SAMPLE
    directory = place / f"{shape.layers}x{shape.hidden}x{shape.inner}"
    if not (directory / "config.json").exists():
        directory.mkdir(parents=True)
        changes = {
            "num_hidden_layers": shape.layers, "hidden_size": shape.hidden, "intermediate_size": shape.inner,
            "num_attention_heads": 8, "num_key_value_heads": 8,
        }  # fmt: skip
        config = {**json.loads((SAMPLE / "config.json").read_text(encoding="utf-8")), **changes}
        save_file(_weights(shape, config), directory / "model.safetensors")
        (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return directory


def _weights(shape: Shape, config: dict[str, int]) -> dict[str, torch.Tensor]:
    """In fp16, under the names that files have."""
    chance = torch.Generator().manual_seed(0)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return (torch.randn(rows, columns, generator=chance) / columns**0.5).half()

    hidden, inner, experts = shape.hidden, shape.inner, config["num_local_experts"]
    made = {name: matrix(config["vocab_size"], hidden) for name in ("model.embed_tokens.weight", "lm_head.weight")}
    made["model.norm.weight"] = torch.ones(hidden).half()
    for index in range(shape.layers):
        path = f"model.layers.{index}."
        made |= {f"{path}self_attn.{name}_proj.weight": matrix(hidden, hidden) for name in "qkvo"}
        made |= {f"{path}{name}_layernorm.weight": torch.ones(hidden).half() for name in ("input", "post_attention")}
        block = f"{path}block_sparse_moe."
        made[f"{block}gate.weight"] = matrix(experts, hidden)
        for expert in range(experts):
            made |= {f"{block}experts.{expert}.{name}.weight": matrix(inner, hidden) for name in ("w1", "w3")}
            made[f"{block}experts.{expert}.w2.weight"] = matrix(hidden, inner)
    return made


def packed_directory(shape: Shape, bits: float, place: Path) -> Path:
    """Where a shape lies packed: anew for everything that its bytes depend on, and for every commit."""
    return place / f"{shape.layers}x{shape.hidden}x{shape.inner}-{bits}-{shape.group}-{commit()}"


def programs(shape: Shape, bits: float, place: Path, *, length: int = 64) -> dict[str, Program]:
    """``dense`` and ``packed``, for sequences of that length and any batch, with their weights."""
    directory, packed = directory_of(shape, place), packed_directory(shape, bits, place)
    if not packed.exists():
        ids = torch.randint(0, 256, (CALIBRATION, length), generator=torch.Generator().manual_seed(1))
        compress(directory, packed, {"input_ids": ids}, McMoe(bits=bits, method="rtn", group_size=shape.group))
    return {"dense": program(directory, length), "packed": program(packed, length)}


def program(directory: Path, length: int) -> Program:
    """A directory's model as a program with weights."""
    component = load_model(str(directory)).only
    component = replace(component, inputs={name: value[:, :length] for name, value in component.inputs.items()})
    captured = capture(component)
    assert component.weights is not None
    given = component.weights()
    return rewrite(captured.with_state({name: given[name] for name in captured.exported.state_dict}))
