"""What goes in: a model as named components, each with example inputs, dynamic axes and a role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Tensor, nn

Role = Literal["classifier", "encoder", "generic"]


class Preprocessing(BaseModel):
    """How a picture becomes the model's input; the same for the dense and the optimised model.

    ``size`` is ``(height, width)`` in pixels after resizing; with ``shortest_edge`` the short side is
    scaled to that length instead and ``crop`` (``(height, width)``) is cut from the centre.
    Pixel values are multiplied by ``rescale``, then normalised as ``(x - mean) / std`` per channel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[int, int] | None = None
    shortest_edge: int | None = None
    resample: Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"] = "bilinear"
    crop: tuple[int, int] | None = None
    rescale: float = 1.0 / 255.0
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    channel_order: Literal["RGB", "BGR", "L"] = "RGB"
    layout: Literal["NCHW"] = "NCHW"
    source: str = "default"


@dataclass(frozen=True)
class Component:
    """One graph's worth of a model.

    Args:
        name: unique within the model, e.g. ``"model"`` or ``"vision_encoder"``.
        module: the module in eval mode. Its parameters may be fake (see ``weights``).
        inputs: example inputs by the name of ``forward``'s parameter, in order. Batch axes have size 2 or
            more, so that capture does not specialise them.
        dynamic: for each input the axes that stay symbolic, as ``{axis: symbol}``; the same symbol is the
            same size. ``{"pixel_values": {0: "batch"}}``.
        role: what the outputs mean; ``classifier`` has ``logits`` of shape ``(batch, classes)``.
        weights: supplies the parameters and buffers by state-dict name when ``module`` holds fake ones.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    role: Role = "generic"
    weights: Callable[[], Mapping[str, Tensor]] | None = None


@dataclass(frozen=True)
class Model:
    """One or more components, and what an app needs to feed and read them.

    Args:
        name: short name, used in reports.
        source: where it came from, as the user wrote it; replayed by recipes.
        components: by name, in the order data flows.
        preprocessing: of image inputs, where known.
        labels: class names by index, where known.
        licence: as stated by the source, where known.
        notes: what a user should know about how it was taken in.
        directory: the transformers directory that it was read from, for plugins that rewrite weights in files.
    """

    name: str
    source: str
    components: Mapping[str, Component]
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()
    licence: str = ""
    notes: tuple[str, ...] = ()
    directory: Path | None = None

    @property
    def only(self) -> Component:
        """The component of a one-component model."""
        (component,) = self.components.values()
        return component
