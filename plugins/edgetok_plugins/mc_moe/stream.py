"""Running a model layer by layer, with the weights of one layer in memory and of its experts none.

The model is built without weights. Its own forward is run once over all calibration inputs; whenever it comes to a
layer, that layer's weights are read (in float32, experts excepted), ``visit`` does its work, and they are let go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgetok.errors import BrokenWeights, MissingExtra, UnsupportedModel
from edgetok.sources.factory import cause
from edgetok.sources.fake import fake_parameters
from edgetok_plugins.mc_moe.decoded import METHODS, Decoded
from edgetok_plugins.mc_moe.experts.copied import copied
from edgetok_plugins.mc_moe.experts.find import Block, find_blocks
from edgetok_plugins.mc_moe.experts.form import MATRICES, Fused, Routing
from edgetok_plugins.mc_moe.format import check_mark
from edgetok_plugins.mc_moe.shards import Shards
from edgetok_plugins.mc_moe.stored import StoredExperts, find_key, stored_experts

if TYPE_CHECKING:
    from edgetok.model import Component

Visit = Callable[[int, Callable[[], Tensor]], Tensor]
"""Given the layer's number and what computes it, returns the hidden states that go on, float32 ``[batch, T, H]``."""


@dataclass(frozen=True)
class Streamed:
    """A model whose weights stay in its files.

    Attributes:
        directory: the transformers directory.
        model: the whole model; its parameters are fake.
        shards: its weights.
        path: where its layers are, ``model.layers``.
        blocks: mixtures of experts by the number of their layer; dense layers have none.
        device: where layers compute.
    """

    directory: Path
    model: Any
    shards: Shards
    path: str
    blocks: Mapping[int, Block]
    device: torch.device

    @property
    def layers(self) -> nn.ModuleList:
        """All layers, with experts and without."""
        return cast("nn.ModuleList", self.model.get_submodule(self.path))

    def stored(self, index: int) -> StoredExperts:
        """The experts of a layer, in the files."""
        block = self.blocks[index]
        return stored_experts(self.shards, block.name, cast("Fused", block.form))


def open_model(directory: Path, device: torch.device | str = "cpu") -> Streamed:
    """A transformers directory of a decoder with mixtures of experts.

    Raises:
        UnsupportedModel: it is no such model, or keeps experts in a way that is not known.
        BrokenWeights: its files are malformed.
        MissingExtra: transformers is not installed.
    """
    return _streamed(build(directory, (None, *METHODS)), directory, device)


def open_component(component: Component, directory: Path, device: torch.device | str = "cpu") -> Streamed:
    """A component of any module with mixtures of experts in a row of layers; its weights are written to ``directory``.

    A layer's first argument and its result are the hidden states. The component is left as it is.

    Raises:
        UnsupportedModel: it is no such module, or keeps experts in a way that is not known.
    """
    find_blocks(component.module)
    directory.mkdir()
    state = component.module.state_dict() if component.weights is None else component.weights()
    save_file({name: value.detach().clone().contiguous() for name, value in state.items()}, _weights(directory))
    (directory / "config.json").write_text("{}", encoding="utf-8")
    return _streamed(copied(component.module), directory, device)


def _weights(directory: Path) -> Path:
    return directory / "model.safetensors"


def _streamed(model: Any, directory: Path, device: torch.device | str) -> Streamed:
    blocks = find_blocks(model)
    places = [re.match(r"(.+?)\.(\d+)\.", block.name) for block in blocks]
    paths = {place[1] for place in places if place}
    fused = all(isinstance(block.form, Fused) for block in blocks)
    pair = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    if None in places or len(paths) != 1 or not fused or pair:
        raise UnsupportedModel(
            f"{type(model).__name__} is no stack of layers that can be compressed one by one.",
            why=f"its experts are at {', '.join(block.name for block in blocks[:3])}",
            hint="Decoders with fused experts can: Mixtral, OLMoE, Qwen, DeepSeek, GraniteMoE, gpt-oss, PhiMoE.",
        )
    by_layer = {int(place[2]): block for place, block in zip(places, blocks, strict=True) if place}
    for module in model.modules():
        module._buffers.update({name: value.to(device) for name, value in module._buffers.items() if value is not None})
    return Streamed(directory, model, Decoded(directory), paths.pop(), by_layer, torch.device(device))


def build(directory: Path, methods: tuple[str | None, ...] = (None,)) -> Any:
    """The model that ``config.json`` describes, with fake parameters and real buffers; no code of the directory runs.

    ``methods`` are the ``quant_method`` that are expected; ``None`` for a model that is not quantised.

    Raises:
        UnsupportedModel: transformers does not know or build it, or it is quantised in another way or format.
        MissingExtra: transformers is not installed.
    """
    try:
        import transformers
        from transformers.initialization import no_init_weights
    except ImportError as error:
        raise MissingExtra("Experts are read with transformers.", hint="pip install 'edgetok[hf]'") from error
    try:
        raw = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        config = transformers.AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        cls = getattr(transformers, str(raw["architectures"][0]))
    except Exception as error:
        raise UnsupportedModel(f"{directory} is no model that transformers knows.", why=str(error)) from error
    check_mark(directory, raw, *methods)
    attention = "sdpa" if getattr(cls, "_supports_sdpa", False) else "eager"
    config.use_cache = False
    config.__dict__.pop("quantization_config", None)
    try:
        with no_init_weights(), fake_parameters(), torch.random.fork_rng(devices=[]):
            return cls._from_config(config, dtype=torch.float32, attn_implementation=attention).eval()
    except Exception as error:
        raise UnsupportedModel(f"{cls.__name__} cannot be built from its config.", why=cause(error)) from error


def run(
    source: Streamed, inputs: Mapping[str, Tensor], visit: Visit, *, start: int = 0, hidden: Tensor | None = None
) -> None:
    """Visit the layers from ``start`` on, each with the output of the one before.

    Args:
        source: the model.
        inputs: what its forward takes, all calibration samples in one batch.
        visit: what is done at each layer.
        start: the first layer to visit.
        hidden: its input, where ``start`` is not the first; float32 ``[batch, T, H]``.
    """
    base = getattr(source.model, "base_model", source.model)
    given = {name: value.to(source.device) for name, value in inputs.items()}
    with torch.no_grad(), _layers_replaced(source, visit, start, hidden), _loaded_outside(source):
        if not hasattr(base, "get_input_embeddings"):
            base(**given)
            return
        embedding = base.get_input_embeddings()
        cast_up = embedding.register_forward_hook(lambda _module, _args, out: out.float())
        try:
            base(**given, use_cache=False)
        finally:
            cast_up.remove()


@contextmanager
def _layers_replaced(source: Streamed, visit: Visit, start: int, hidden: Tensor | None) -> Iterator[None]:
    def forward(index: int, given: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if index < start:
            return given
        layer = source.layers[index]
        entering = hidden if index == start and hidden is not None else given
        with loaded(source, layer, f"{source.path}.{index}"):
            return visit(index, lambda: type(layer).forward(layer, entering, *args, **kwargs))

    try:
        for index, layer in enumerate(source.layers):
            layer.forward = partial(forward, index)
        yield
    finally:
        for layer in source.layers:
            layer.__dict__.pop("forward", None)


@contextmanager
def experts_replaced(block: Block, forward: Callable[[Routing], Tensor]) -> Iterator[None]:
    """Inside the block, the experts compute ``forward``: what they add up to for each token, ``[N, H]``."""
    block.experts.forward = lambda *arguments: forward(block.form.routing(arguments))
    try:
        yield
    finally:
        del block.experts.__dict__["forward"]


@contextmanager
def loaded(source: Streamed, module: nn.Module, path: str) -> Iterator[None]:
    """The weights of ``module`` at ``path``, experts' matrices excepted, are real inside the block, in float32."""
    matrices = {
        f"{block.name}.{cast('Fused', block.form).parameter(name)}"
        for block in source.blocks.values()
        for name in MATRICES
    }
    names = [name for name in module.state_dict(keep_vars=True) if f"{path}.{name}" not in matrices]
    with _filled(source, module, {name: f"{path}.{name}" for name in names}, torch.float32):
        yield


@contextmanager
def _loaded_outside(source: Streamed) -> Iterator[None]:
    """Embeddings and norms around the layers, in their stored dtype."""
    base = getattr(source.model, "base_model", source.model)
    prefix = f"{source.model.base_model_prefix}." if base is not source.model else ""
    full = {name: f"{prefix}{name}" for name in base.state_dict(keep_vars=True)}
    outside = {name: key for name, key in full.items() if not key.startswith(f"{source.path}.")}
    with _filled(source, base, outside, None):
        yield


@contextmanager
def _filled(source: Streamed, module: nn.Module, names: Mapping[str, str], dtype: torch.dtype | None) -> Iterator[None]:
    """Parameters and buffers by name, from the files' names; parameters are fake again afterwards."""
    before: list[tuple[nn.Module, str, nn.Parameter]] = []
    try:
        for name, full in names.items():
            path, _, last = name.rpartition(".")
            owner = module.get_submodule(path)
            read = source.shards.read(find_key(source.shards, full))
            value = fitting(read, getattr(owner, last), full).to(source.device)
            if last in owner._buffers:
                owner._buffers[last] = value
                continue
            before.append((owner, last, cast("nn.Parameter", owner._parameters[last])))
            owner._parameters[last] = nn.Parameter(value if dtype is None else value.to(dtype), requires_grad=False)
        yield
    finally:
        for owner, last, fake in before:
            owner._parameters[last] = fake


def fitting(value: Tensor, expected: Tensor, name: str) -> Tensor:
    """``value``, where it has the shape that the model expects.

    Raises:
        BrokenWeights: it has another.
    """
    if value.shape == expected.shape:
        return value
    why = f"shape {tuple(value.shape)}, expected {tuple(expected.shape)}"
    raise BrokenWeights(f"The weights do not fit the model: {name}.", why=why)
