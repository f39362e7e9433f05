"""``manifest.json``: all that an app needs to feed, run and check a bundle, without edgetok."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from edgetok.model import Preprocessing, Role

MANIFEST = "manifest.json"

FileRole = Literal["model", "weights", "recipe", "report", "card", "vectors", "other"]


def _inside(path: str) -> str:
    """Only plain relative paths with forward slashes: nothing that can leave the bundle on any system."""
    parts = path.split("/")
    if re.search(r'[\\:\x00-\x1f<>"|?*]', path) or any(part in {"", ".", ".."} for part in parts):
        raise ValueError("must be a plain relative path inside the bundle")
    return str(PurePosixPath(path))


BundlePath = Annotated[str, AfterValidator(_inside)]


class _Part(BaseModel):
    """A frozen part of a manifest; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class FileEntry(_Part):
    """One file of the bundle."""

    path: BundlePath = Field(description="relative to the bundle, forward slashes")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    role: FileRole = "other"


class TensorEntry(_Part):
    """A named input or output; sizes are numbers, or names of sizes that may vary."""

    name: str
    dtype: str = Field(description='as in NumPy: "float32", "int64"')
    shape: tuple[int | str, ...]


class ComponentEntry(_Part):
    """One runnable file and its interface."""

    name: str
    role: Role = Field(description='"classifier" has the output "logits" of shape (batch, classes)')
    file: BundlePath = Field(description="what a runtime opens")
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    states: dict[str, str] = Field(
        default_factory=dict,
        description="inputs that the file keeps itself between calls, each with the output that it is next",
    )


class ParitySummary(_Part):
    """Whether the file computes what the rewritten model does; the report has the whole of it."""

    passed: bool
    max_abs: float | None = Field(description="largest absolute difference over all outputs; null if not executed")
    how: str


class Vectors(_Part):
    """Inputs and the outputs they must give, so that an app can check itself on its device."""

    file: BundlePath = Field(description="safetensors: tensors `input.NAME` and `output.NAME`, samples first")
    component: str
    samples: int = Field(ge=1)
    tolerance: dict[str, float] = Field(description="by output: allowed absolute difference")


class PluginEntry(_Part):
    """A method that was applied, with all of its options."""

    name: str
    options: dict[str, JsonValue] = Field(default_factory=dict)


class Manifest(_Part):
    """The contract between a bundle and an app. Grows by optional fields only, until ``schema`` changes."""

    format: Literal["edgetok.manifest/1"] = Field("edgetok.manifest/1", alias="schema")
    model: str = Field(description="name of the model")
    source: str = Field(description="where it came from, as the user wrote it")
    licence: str = Field("", description="as stated by the source")
    target: str
    exporter: str
    runtime: str
    plugins: tuple[PluginEntry, ...] = ()
    components: tuple[ComponentEntry, ...] = Field(min_length=1)
    preprocessing: Preprocessing | None = Field(None, description="of pictures, before the model's input")
    labels: tuple[str, ...] = Field((), description="class names by index")
    vectors: Vectors | None = None
    parity: ParitySummary | None = None
    plan_digest: str
    versions: dict[str, str] = Field(default_factory=dict, description="of edgetok and the packages it used")
    files: tuple[FileEntry, ...] = Field(description="every file of the bundle but this one")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        paths = [entry.path for entry in self.files]
        folded = [path.casefold() for path in paths]
        if len(set(folded)) < len(folded) or MANIFEST in folded:
            raise ValueError("files: each path may be listed once, and the manifest itself not at all")
        named = [component.file for component in self.components] + ([self.vectors.file] if self.vectors else [])
        for path in named:
            if path not in paths and not any(listed.startswith(f"{path}/") for listed in paths):
                raise ValueError(f"{path!r} is used but not listed in files")
        return self

    def component(self, name: str) -> ComponentEntry:
        """The component of that name."""
        return next(component for component in self.components if component.name == name)
