"""``mc-moe``: mixed-precision compression of mixture-of-experts models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from edgetok.hookspecs import hookimpl
from edgetok.plugin import WeightPlugin
from edgetok.weights import Place, Reweighted
from edgetok_plugins.mc_moe.allocate import allocate_bits, allocate_global

if TYPE_CHECKING:
    from torch import Tensor

    from edgetok.model import Component, Model
    from edgetok.progress import Progress

__all__ = ["McMoe", "allocate_bits", "allocate_global"]

api_version = "1"

Width = Literal[1, 2, 3, 4, 8]
Exponent = Annotated[float, Field(ge=0, le=4)]


class McMoe(WeightPlugin):
    """Give each expert as many bits as it is worth, and quantise it to them.

    On calibration tokens every expert gets a frequency ``f``, a routing weight ``w`` and, for each width ``b``, the
    error ``e_b`` that it causes; an integer programme chooses widths of least ``sum f^alpha w^beta e_b^gamma`` within a
    budget. GPTQ then quantises attention and experts, layer by layer; the router keeps its precision.

    Where we depart from the paper and its reference code: the exponent of the loss is an option (the paper says 2, the
    code uses alpha); errors of GPTQ are made up for at every width; zero points are whole numbers; weights are those
    that outputs are multiplied by, after renormalisation. The module ``compress`` says how models larger than memory
    are handled.
    """

    name: ClassVar[str] = "mc-moe"
    summary: ClassVar[str] = "Mixture Compressor: fewer bits for experts that matter less, by integer programming."
    paper: ClassVar[str] = (
        "Mixture Compressor for Mixture-of-Experts LLMs Gains More (ICLR 2025), https://arxiv.org/abs/2410.06270"
    )
    excludes: ClassVar[tuple[str, ...]] = ("weights", "precision")

    bits: float = Field(
        default=2.5, ge=1, le=8, description="Mean width of experts: the budget of a layer is so many bits per expert."
    )
    widths: tuple[Width, ...] = Field(default=(1, 2, 3), min_length=1, description="Widths that an expert may get.")
    alpha: Exponent = Field(default=1.0, description="Exponent of the routing frequency.")
    beta: Exponent = Field(default=1.5, description="Exponent of the routing weight.")
    gamma: Exponent = Field(default=2.0, description="Exponent of the loss.")
    min_count: tuple[tuple[Width, Annotated[int, Field(ge=0)]], ...] = Field(
        default=((3, 1), (2, 1)),
        description="Pairs (width, count): at least so many experts of a layer at a width, where that is in use.",
    )
    scope: Literal["layer", "global"] = Field(
        default="layer", description="Whether each layer has its budget, or all layers share one."
    )
    method: Literal["gptq", "rtn"] = Field(default="gptq", description="GPTQ, or rounding to nearest.")
    group_size: int = Field(
        default=128, ge=8, le=1024, multiple_of=8, description="Neighbouring weights that share a scale."
    )
    attention_bits: Literal[2, 3, 4, 8, 16] = Field(
        default=4, description="Width of attention, shared experts and dense layers; 16 leaves them as they are."
    )
    damping: float = Field(default=0.01, gt=0, le=1, description="Of GPTQ, as a share of the mean of the diagonal.")
    act_order: bool = Field(default=False, description="GPTQ rounds columns with large inputs first.")
    odp: bool = Field(
        default=False,
        description="Online dynamic pruning: a token leaves out those of its experts whose weight is small beside the "
        "largest. The torch runtime saves these calls; in exported files they are computed and count for nothing.",
    )
    odp_protect: float = Field(
        default=0.02, ge=0, lt=1, description="Share of a sequence's tokens, the important ones, that leave out none."
    )
    samples: int = Field(default=64, ge=1, le=4096, description="Calibration samples: sequences, or whatever a row is.")
    baselines: bool = Field(
        default=False,
        description="Also compress with the same bits spent otherwise, and say in the report which is better: language "
        "models only, on a quarter of the calibration samples, kept apart; takes about fifteen times as long.",
    )

    @field_validator("widths")
    @classmethod
    def _ascending(cls, widths: tuple[Width, ...]) -> tuple[Width, ...]:
        return tuple(sorted(set(widths)))

    @field_validator("min_count", mode="before")
    @classmethod
    def _pairs(cls, given: object) -> object:
        return tuple(given.items()) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _within_reach(self) -> McMoe:
        if self.bits < min(self.widths):
            raise ValueError(f"bits = {self.bits} is below the least width, {min(self.widths)}")
        return self

    @property
    def least(self) -> dict[int, int]:
        """``min_count`` at the widths in use."""
        return {width: count for width, count in self.min_count if width in self.widths}

    def places(self, component: Component) -> tuple[Place, ...]:
        """Every mixture of experts."""
        from edgetok_plugins.mc_moe.experts.find import known_blocks

        widths = "/".join(map(str, self.widths))
        found = [(block.name, block.form.count) for block in known_blocks(component.module)]
        what = f"experts, of {widths} bits each, {self.bits:g} on average"
        return tuple(Place(name=name, plugin=self.name, what=f"{count} {what}") for name, count in found)

    def calibration_samples(self) -> int:
        """As the options say."""
        return self.samples

    def rewrite(
        self, model: Model, component: Component, inputs: Mapping[str, Tensor], scratch: Path, progress: Progress
    ) -> Reweighted:
        """The component with packed weights, read from the model's directory, or one made for what is in memory.

        Computed with CUDA where torch sees it, else on the CPU.
        """
        from edgetok_plugins.mc_moe.compress import compress, device_here, packed_tensors
        from edgetok_plugins.mc_moe.lowering.replace import packed_component
        from edgetok_plugins.mc_moe.stream import open_component

        output, device = scratch / "compressed", device_here()
        source = model.directory or open_component(component, scratch / "dense", device)
        manifest = compress(source, output, inputs, self, device=device, progress=progress)
        compared = self._compared(model.directory, inputs, progress) if self.baselines else ()
        made = packed_component(component, packed_tensors(output))
        places = (
            Place(name=name, plugin=self.name, what=_counted(bits) + _spared(manifest["odp"].get(name)))
            for name, bits in manifest["bits"].items()
        )
        return Reweighted(made, tuple(places), (*_notes(manifest), *compared))

    def _compared(self, directory: Path | None, inputs: Mapping[str, Tensor], progress: Progress) -> tuple[str, ...]:
        """What other ways to spend the same bits give, on samples that do not calibrate them."""
        from edgetok_plugins.mc_moe.compare import compare, sentences
        from edgetok_plugins.mc_moe.compress import device_here

        ids = inputs.get("input_ids")
        if directory is None or ids is None or set(inputs) != {"input_ids"} or len(ids) < 8:
            return ("No baselines: they need a language model in a directory and at least 8 calibration samples.",)
        kept = {"input_ids": ids[: -(len(ids) // 4)]}
        held_out, device = ids[-(len(ids) // 4) :], device_here()
        found = compare(directory, kept, held_out, self, [self.bits], device=device, progress=progress)
        return sentences(found)


def _counted(bits: Sequence[int]) -> str:
    return ", ".join(f"{count} experts of {width} bits" for width, count in sorted(Counter(bits).items()))


def _spared(pruning: Mapping[str, float] | None) -> str:
    return "" if pruning is None else f", {pruning['saved']:.0%} of calls left out below {pruning['threshold']:.3g}"


def _notes(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    every = [width for bits in manifest["bits"].values() for width in bits]
    mean, kib = sum(every) / len(every), {name: size / 1024 for name, size in manifest["bytes"].items()}
    return (
        f"Experts have {mean:.3g} bits a weight on average, scales and zero points apart.",
        f"Packed matrices take {kib['packed']:.0f} KiB; the rest of the model {kib['rest']:.0f} KiB, as it was stored.",
        *_pruned(list(manifest["odp"].values())),
    )


def _pruned(layers: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    if not layers:
        return ()
    saved, protected = (sum(layer[name] for layer in layers) / len(layers) for name in ("saved", "protected"))
    return (
        f"Online pruning leaves out {saved:.1%} of the calls of experts on calibration tokens and protects "
        f"{protected:.1%} of them. The torch runtime does not make these calls; in this file they are made and count "
        "for nothing, so that it is no faster for it.",
    )


@hookimpl
def edgetok_model_sources() -> Mapping[str, Callable[[str], Model]]:
    """Loads what ``compress`` wrote; its config names this source."""

    def load(ref: str) -> Model:
        from edgetok_plugins.mc_moe.source import load_compressed

        return load_compressed(ref)

    return {"edgetok-mc-moe": load}


@hookimpl
def edgetok_plugins() -> list[type[McMoe]]:
    """Register the plugin."""
    return [McMoe]
