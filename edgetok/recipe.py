"""What to do, as data: a recipe names model, plugins, target and checks, and replays to the same plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, field_validator, model_validator

from edgetok.model import Preprocessing
from edgetok.options import parse_uses

Scalar = str | int | float | bool


class _Part(BaseModel):
    """A frozen part of a recipe; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PluginUse(_Part):
    """One plugin with its options; what the options mean is the plugin's own affair."""

    name: str = Field(min_length=1, description="name of an installed plugin")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="its options; the rest take their defaults")

    @field_validator("options", mode="before")
    @classmethod
    def _lists(cls, options: Any) -> Any:
        """Tuples become lists, so that a recipe in memory equals the same recipe read from a file."""
        return {k: _plain(v) for k, v in options.items()} if isinstance(options, Mapping) else options


class ParitySettings(_Part):
    """How the exported file is compared with the rewritten program."""

    samples: int = Field(8, ge=1, description="number of inputs compared")
    seed: int = Field(0, description="seeds generated inputs, where no real ones are given")
    allow_failure: bool = Field(False, description="deliver the bundle even if parity fails; the report says so")


class CalibrationSettings(_Part):
    """What ranges of activations are found on, where a plugin quantises them statically."""

    data: str | None = Field(
        None,
        description="as eval.data, or a folder of pictures; null holds out the first evaluation samples",
    )
    seed: int = Field(0, description="seeds generated inputs, where there is no data at all")


class EvalSettings(_Part):
    """Task accuracy of the dense and the optimised model on the same samples."""

    data: str | None = Field(
        None, description="imagefolder:PATH, a labels.tsv or a .npy of tokens; null skips evaluation"
    )
    limit: int | None = Field(None, ge=1, description="use only the first samples")
    batch: int = Field(16, ge=1, description="samples per run")
    preprocessing: Preprocessing | None = Field(None, description="in place of the model's own")


class BenchSettings(_Part):
    """Latency of the dense and the optimised file, interleaved in one process."""

    enabled: bool = Field(True, description="measure at all")
    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1, description="batch sizes")
    threads: int = Field(1, ge=1, description="threads of the runtime")
    runs: int = Field(20, ge=1, description="measured runs per model and batch size")


def read_uses(value: Any) -> Any:
    """Accept the short forms of a plugin list: ``"tome:r=8,mc-moe"``, ``["tome:r=8"]``, ``{"tome": {"r": 8}}``."""
    if isinstance(value, str):
        return [{"name": name, "options": options} for name, options in parse_uses(value).items()]
    if isinstance(value, Mapping):
        return [{"name": name, "options": options or {}} for name, options in value.items()]
    if isinstance(value, Iterable):
        return [use for item in value for use in (read_uses(item) if isinstance(item, str) else [item])]
    return value


Uses = Annotated[
    tuple[PluginUse, ...],
    BeforeValidator(read_uses, json_schema_input_type=str | dict[str, dict[str, JsonValue]] | list[str | PluginUse]),
]


def _between_commas(value: Any) -> Any:
    plain = isinstance(value, list | tuple) and all(isinstance(each, Scalar) for each in value)
    return ",".join(map(str, value)) if plain else value


Listed = Annotated[Scalar, BeforeValidator(_between_commas, json_schema_input_type=Scalar | list[Scalar])]
"""A value, or several, which are kept as the text ``2,4``."""


class Recipe(_Part):
    """Everything that decides a run. A resolved recipe has its ``plan_digest`` and replays to it."""

    version: Literal[1] = Field(1, description="version of this format")
    model: str = Field(min_length=1, description="a directory, FILE.pt2, package.module:factory or sample:NAME")
    plugins: Uses = Field((), description="plugins with options; their order here means nothing")
    target: str = Field("onnx-cpu", min_length=1, description="name, alias or .toml file of a target")
    exporter: dict[str, Listed] = Field(default_factory=dict, description="options of the target's exporter")
    parity: ParitySettings = ParitySettings()
    eval: EvalSettings = EvalSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    bench: BenchSettings = BenchSettings()
    seed: int = Field(0, description="seeds everything that is random")
    output: str | None = Field(None, description="directory of the bundle")
    pins: tuple[str, ...] = Field((), description="plugin names in the order they must act, where tags leave a choice")
    plan_digest: str | None = Field(None, description="filled in when resolved; a replay must give the same")

    @model_validator(mode="after")
    def _unique_plugins(self) -> Self:
        names = [use.name for use in self.plugins]
        for kind, listed in (("plugin", names), ("pin", list(self.pins))):
            twice = sorted({name for name in listed if listed.count(name) > 1})
            if twice:
                raise ValueError(f"{kind} {twice[0]!r} is listed twice")
        return self


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
