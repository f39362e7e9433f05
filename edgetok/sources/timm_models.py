"""``timm:NAME``, where timm is installed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from edgetok.errors import MissingExtra, ModelNotFound, NetworkRefused
from edgetok.sources.factory import cause
from edgetok.sources.vision_ops import usable_torchvision

if TYPE_CHECKING:
    from edgetok.model import Model, Preprocessing


def load_timm(name: str, *, source: str, allow_network: bool) -> Model:
    """The pretrained timm model of that name; its weights are fetched only with ``allow_network``.

    Raises:
        MissingExtra: timm is not installed.
        ModelNotFound: timm has no model of that name.
        NetworkRefused: ``allow_network`` is false.
    """
    try:
        usable_torchvision()
        import timm
    except ImportError as error:
        raise MissingExtra(f"{source} needs timm.", why="timm is not installed.", hint="pip install timm") from error
    base = name.partition(".")[0]
    if not timm.is_model(base):
        close = get_close_matches(base, timm.list_models(), n=3)
        hint = f"Did you mean {' or '.join(close)}?" if close else "timm.list_models() names them."
        raise ModelNotFound(f"timm has no model {name!r}.", hint=hint)
    if not allow_network:
        raise NetworkRefused(f"{source} needs its weights from the hub.", hint="Pass --allow-network.")
    return _load(timm, name, source)


def _load(timm: Any, name: str, source: str) -> Model:
    import torch

    from edgetok.model import Component, Model

    try:
        module = timm.create_model(name, pretrained=True).eval().requires_grad_(False)
    except Exception as error:
        raise ModelNotFound(f"timm could not give {name!r}.", why=cause(error)) from error
    data = timm.data.resolve_model_data_config(module)
    pixels = torch.randn(2, *data["input_size"], generator=torch.Generator().manual_seed(0))
    parameter = "x"
    component = Component(
        name="model",
        module=module,
        inputs={parameter: pixels},
        dynamic={parameter: {0: "batch"}},
        role="classifier" if getattr(module, "num_classes", 0) else "encoder",
    )
    return Model(
        name=name,
        source=source,
        components={"model": component},
        preprocessing=_preprocessing(data),
        licence=str(module.pretrained_cfg.get("license", "")),
    )


def _preprocessing(data: dict[str, Any]) -> Preprocessing:
    from edgetok.model import Preprocessing

    _, height, width = data["input_size"]
    return Preprocessing(
        shortest_edge=int(min(height, width) / data["crop_pct"]),
        crop=(height, width),
        resample=data["interpolation"],
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        source="timm",
    )
