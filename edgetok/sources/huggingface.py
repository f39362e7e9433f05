"""A transformers directory: config.json, safetensors, and nothing that runs."""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetok.errors import BrokenWeights, EdgetokError, MissingExtra, UnsupportedModel
from edgetok.model import Component, Model, Preprocessing, Role
from edgetok.silence import quiet
from edgetok.sources.factory import cause
from edgetok.sources.processor import final_size, read_preprocessing
from edgetok.sources.vision_ops import usable_torchvision
from edgetok.sources.weight_files import weight_files

if TYPE_CHECKING:
    from torch import Tensor, nn

MAX_LAYERS = 2048
_LANGUAGE_MODELS = re.compile(r"(ForCausalLM|LMHeadModel)$")
"""Causal: padding at the end changes nothing before it, so that token ids are their only input."""
_CLASSIFIERS = re.compile(r"For(Image|Video|Audio|Sequence)Classification(WithTeacher)?$")


def load_directory(directory: Path, *, source: str, name: str = "") -> Model:
    """A Model from a transformers directory, planned before its weights are read.

    The class comes from ``config.architectures`` (the base model where it says none), attention is SDPA, weights
    are cast to float32, key-value caches are off, and code that a repository carries is never run. Parameters are
    fake until ``component.weights()`` reads them.

    Raises:
        UnsupportedModel: no config.json, an unknown architecture, quantised weights or unknown inputs.
        UnsafeModel: the only weights are pickles.
        BrokenWeights: a weight file is truncated, malformed or does not fit the architecture.
        MissingExtra: transformers is not installed.
    """
    raw = read_config(directory)
    if raw.get("quantization_config"):
        return _packed(directory, raw, source, name)
    return unquantised(directory, raw, source=source, name=name)


def _packed(directory: Path, raw: Mapping[str, Any], source: str, name: str) -> Model:
    """By the model source of that name, if a plugin has one."""
    from edgetok.registry import installed

    settings = raw["quantization_config"]
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    loader = installed().sources.get(str(method))
    if loader is None:
        raise UnsupportedModel(
            f"{directory.name} is already quantised.",
            why=f"config.json has a quantization_config, of {method or 'an unnamed method'}",
            hint="Start from the model before it was quantised.",
        )
    return replace(loader.value(str(directory)), source=source, name=name or directory.resolve().name)


def unquantised(directory: Path, raw: Mapping[str, Any], *, source: str, name: str = "") -> Model:
    """As :func:`load_directory`, whatever the config ``raw`` says of quantisation."""
    if not weight_files(directory):
        _refuse_without_safetensors(directory)
    preprocessing = read_preprocessing(directory)
    with quiet(), _transformers():
        component, labels = _component(directory, raw, preprocessing)
    return Model(
        name=name or directory.resolve().name,
        source=source,
        components={"model": component},
        preprocessing=preprocessing,
        labels=labels,
        licence=_licence(directory),
        directory=directory,
    )


@contextmanager
def _transformers() -> Iterator[None]:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("A transformers directory needs transformers.", hint="pip install 'edgetok[hf]'") from error
    from edgetok.sources.hub import offline

    usable_torchvision()
    logger = transformers.utils.logging
    level = logger.get_verbosity()
    bars = logger.is_progress_bar_enabled()
    logger.set_verbosity(logging.CRITICAL)
    logger.disable_progress_bar()
    try:
        with offline():
            yield
    finally:
        logger.set_verbosity(level)
        if bars:
            logger.enable_progress_bar()


def read_config(directory: Path) -> dict[str, Any]:
    """A directory's config.json.

    Raises:
        UnsupportedModel: there is none, or it is none of transformers.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise UnsupportedModel(
            f"{directory} is not a transformers directory.",
            why="It has no config.json.",
            hint="Name the directory that save_pretrained wrote, or a .pt2 file.",
        )
    try:
        raw = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise UnsupportedModel(f"{path} cannot be read.", why=f"{type(error).__name__}: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("model_type"), str):
        raise UnsupportedModel(f"{path} is not a transformers config.", why="It has no model_type.")
    for key, value in raw.items():
        if "layer" in key and isinstance(value, int) and value > MAX_LAYERS:
            raise UnsupportedModel(f"{path} asks for an absurd model.", why=f"{key} is {value} (limit {MAX_LAYERS}).")
    return raw


def _refuse_without_safetensors(directory: Path) -> None:
    from edgetok.sources.load import PICKLES, refused_pickle

    pickles = sorted(path for path in directory.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise refused_pickle(pickles[0])
    raise BrokenWeights(f"{directory} has no weights.", why="There is no model.safetensors and no index of shards.")


def _component(
    directory: Path, raw: Mapping[str, Any], preprocessing: Preprocessing | None
) -> tuple[Component, tuple[str, ...]]:
    from edgetok.sources.example_inputs import example_inputs

    cls, config = _class_and_config(directory, raw)
    module, attention = _build(cls, config)
    parameters = set(inspect.signature(module.forward).parameters)
    if _LANGUAGE_MODELS.search(cls.__name__):
        parameters -= {"attention_mask"}
    inputs = example_inputs(config, parameters)
    wanted = final_size(preprocessing)
    if wanted and "pixel_values" in inputs and tuple(inputs["pixel_values"].shape[-2:]) != wanted:
        resized = example_inputs(config, parameters, wanted)
        inputs = resized if _accepts(module, resized) else inputs
    component = Component(
        name="model",
        module=module,
        inputs=inputs,
        dynamic={key: {0: "batch"} for key in inputs},
        role=_role(cls.__name__),
        weights=_weights(cls, config, directory, attention),
    )
    return component, _labels(raw, component.role)


def _class_and_config(directory: Path, raw: Mapping[str, Any]) -> tuple[Any, Any]:
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise UnsupportedModel(
            f"transformers {transformers.__version__} does not know {raw['model_type']!r}.",
            why=cause(error),
            hint="A newer transformers may; code that comes with a model is never run.",
        ) from error
    config.__dict__.pop("quantization_config", None)
    architectures = raw.get("architectures") or []
    if architectures:
        cls = getattr(transformers, str(architectures[0]), None)
    else:
        cls = transformers.AutoModel._model_mapping.get(type(config), None)
    if not (isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)):
        why = f"config.architectures is {architectures}."
        raise UnsupportedModel(f"transformers {transformers.__version__} has no such model class.", why=why)
    for switch in ("use_cache", "output_attentions", "output_hidden_states"):
        if hasattr(config, switch):
            setattr(config, switch, False)
    return cls, config


def _build(cls: Any, config: Any) -> tuple[nn.Module, str]:
    """The model with fake parameters and real buffers, and the attention implementation it took."""
    import torch
    from transformers.initialization import no_init_weights

    from edgetok.sources.experts import implementation
    from edgetok.sources.fake import fake_parameters

    attention = "sdpa" if getattr(cls, "_supports_sdpa", False) else "eager"
    try:
        with no_init_weights(), fake_parameters(), torch.random.fork_rng(devices=[]):
            module = cls._from_config(
                config, dtype=torch.float32, attn_implementation=attention, experts_implementation=implementation()
            )
        module.tie_weights()
    except Exception as error:
        raise UnsupportedModel(f"{cls.__name__} cannot be built from its config.", why=cause(error)) from error
    return module.eval(), attention


def _accepts(module: nn.Module, inputs: Mapping[str, Tensor]) -> bool:
    import torch

    parameter = next(module.parameters(), None)
    mode = getattr(parameter, "fake_mode", None)
    if mode is None:
        return False
    try:
        with torch.no_grad(), mode:
            module(**{key: mode.from_tensor(value) for key, value in inputs.items()})
    except Exception:
        return False
    return True


def _weights(cls: Any, config: Any, directory: Path, attention: str) -> Callable[[], Mapping[str, Tensor]]:
    def read() -> Mapping[str, Tensor]:
        weight_files(directory)
        with _transformers():
            module = _read_weights(cls, config, directory, attention)
        return {
            **dict(module.named_parameters(remove_duplicate=False)),
            **dict(module.named_buffers(remove_duplicate=False)),
        }

    return read


def _read_weights(cls: Any, config: Any, directory: Path, attention: str) -> nn.Module:
    import torch

    from edgetok.sources.experts import implementation

    try:
        module, info = cls.from_pretrained(
            directory,
            config=config,
            dtype=torch.float32,
            attn_implementation=attention,
            experts_implementation=implementation(),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except EdgetokError:
        raise
    except Exception as error:
        raise BrokenWeights(
            f"The weights in {directory.name} do not load as {cls.__name__}.", why=cause(error)
        ) from error
    _refuse_misfits(directory, cls.__name__, info)
    return module.eval().requires_grad_(False)  # type: ignore[no-any-return]


def _refuse_misfits(directory: Path, class_name: str, info: Mapping[str, Any]) -> None:
    missing = sorted(map(str, info.get("missing_keys") or ()))
    mismatched = sorted(map(str, info.get("mismatched_keys") or ()))
    errors = list(info.get("error_msgs") or ())
    if missing or mismatched or errors:
        shown = [*(f"missing {key}" for key in missing), *(f"wrong shape {key}" for key in mismatched), *errors]
        more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
        raise BrokenWeights(
            f"The weights in {directory.name} do not fill {class_name}.",
            why=f"{'; '.join(shown[:4])}{more}. transformers would fill them with random numbers.",
            hint="Name in config.architectures the class the weights were saved from, or add the missing weights.",
        )


def _role(class_name: str) -> Role:
    if _CLASSIFIERS.search(class_name):
        return "classifier"
    return "encoder" if class_name.endswith("Model") and "Head" not in class_name else "generic"


def _labels(raw: Mapping[str, Any], role: Role) -> tuple[str, ...]:
    table = raw.get("id2label")
    if role != "classifier" or not isinstance(table, dict):
        return ()
    try:
        by_index = {int(key): str(value) for key, value in table.items()}
    except ValueError:
        return ()
    return (
        tuple(by_index[index] for index in range(len(by_index))) if set(by_index) == set(range(len(by_index))) else ()
    )


def _licence(directory: Path) -> str:
    card = directory / "README.md"
    if not card.is_file():
        return ""
    front = re.match(r"---\n(.*?)\n---", card.read_text(errors="replace")[:10_000], re.DOTALL)
    found = re.search(r"^licen[sc]e:\s*['\"]?([\w.+ -]+)", front.group(1), re.MULTILINE) if front else None
    return found.group(1).strip() if found else ""
