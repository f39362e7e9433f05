"""``quantize``: fewer bits per weight, and per activation where the target computes in integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from edgetok.hookspecs import hookimpl
from edgetok.plugin import PrecisionPlugin

if TYPE_CHECKING:
    from edgetok.graph import Program
    from edgetok.precision import Scheme, TensorFormat

api_version = "1"


class Quantize(PrecisionPlugin):
    """Store weights in fewer bits, by the toolchain's own library.

    A weight ``w`` becomes ``round(w / s)`` with one scale ``s`` per output channel (int8) or per ``group`` values along
    the inputs (int4), symmetric around 0; scales are as the toolchain finds them. What happens to activations depends
    on ``activations``: nothing, int8 with a range found at run time (dynamic), or int8 with ranges calibrated on data
    (static). ``auto`` takes the first scheme the target lists for these weights.

    What other plugins inserted is left alone: token matching in int8 decides otherwise. Formats are declared here and
    fulfilled by each exporter, with onnxruntime.quantization, coremltools.optimize or torchao. In ONNX, fp16 and int8
    weights beside activations in floating point are rounded by the exporter itself.
    """

    name: ClassVar[str] = "quantize"
    summary: ClassVar[str] = "Quantise weights, and activations where the target computes in integers."
    paper: ClassVar[str] = (
        "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference (CVPR 2018), "
        "https://arxiv.org/abs/1712.05877"
    )

    weights: Literal["fp16", "int8", "int4"] = Field(
        default="int8", description="Format of the weights of linear layers and convolutions (int4: linear layers)."
    )
    activations: Literal["auto", "float", "dynamic", "static"] = Field(
        default="auto", description="Format of activations; 'auto' is what the target runs best with these weights."
    )
    group: Annotated[int, Field(ge=16, le=256, multiple_of=16)] = Field(
        default=32, description="Weights that share a scale, for int4; layers whose inputs it does not divide stay."
    )
    skip: tuple[str, ...] = Field(
        default=(), description="Beginnings of weight names that stay as they are, such as 'classifier'."
    )
    samples: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=32, description="Calibration samples, for static activations."
    )

    @model_validator(mode="after")
    def _int4_is_no_static_format(self) -> Quantize:
        if self.weights == "int4" and self.activations == "static":
            raise ValueError(
                "no toolchain here combines int4 weights with static activations; use 'dynamic' or 'float'"
            )
        if self.weights == "fp16" and self.activations in ("dynamic", "static"):
            raise ValueError("fp16 weights leave activations in floating point")
        return self

    def schemes(self) -> tuple[Scheme, ...]:
        """The schemes these options allow."""
        if self.weights == "fp16":
            return ("fp16",)
        words = {"float": ("weights",), "dynamic": ("dynamic",), "static": ("static",)}
        allowed = words.get(self.activations, ("weights", "dynamic", "static"))
        return tuple(f"{self.weights}-{word}" for word in allowed if f"{self.weights}-{word}" != "int4-static")  # type: ignore[misc]

    def formats(self, program: Program) -> dict[str, TensorFormat]:
        """One entry per weight of a linear layer or convolution that the options do not skip."""
        from edgetok_plugins.quantize.weights import formats

        return formats(program, self.weights, self.group, self.skip)

    def calibration_samples(self, scheme: Scheme) -> int:
        """Only static ranges are calibrated."""
        return self.samples if scheme.endswith("-static") else 0


@hookimpl
def edgetok_plugins() -> list[type[Quantize]]:
    """This plugin."""
    return [Quantize]
