"""The report: a frozen, versioned public contract. JSON first; the pages, card and tables are rendered from it.

Within ``edgetok.report/1`` fields may be added, never removed, renamed or given another meaning; readers ignore what
they do not know. Every ``ratio`` is dense / optimised (above 1 is better), every ``drop`` dense - optimised.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field, JsonValue

from edgetok.model import Preprocessing
from edgetok.report.cost import FlopsSection, Latency, LoadMs, Memory, SizeBytes, Timings, Tokens
from edgetok.report.evidence import Accuracy, Parity, Refusal, Rewritten
from edgetok.report.lowering import Lowering
from edgetok.report.section import Part

if TYPE_CHECKING:
    from edgetok.plugin import Plugin

SCHEMA = "edgetok.report/1"


class ModelInfo(Part):
    """The model that went in."""

    name: str
    source: str = Field("", description="The model reference as the user wrote it.")
    role: str = "generic"
    parameters: int | None = None
    licence: str = Field("", description="As stated by the source; empty where it states none.")
    labels: int = Field(0, description="Number of class names known.")


class TargetInfo(Part):
    """Where the model will run."""

    name: str
    runtime: str
    exporter: str = ""
    dtype: str = "fp32"
    summary: str = ""
    precision: str | None = Field(None, description="The scheme of quantisation, such as int8-dynamic.")


class PluginInfo(Part):
    """One plugin that was applied, with its resolved options."""

    name: str
    options: dict[str, JsonValue] = Field(default_factory=dict)
    summary: str = ""
    paper: str = ""
    paper_url: str = ""
    sites: int = Field(0, ge=0, description="Number of places it rewrote.")

    @classmethod
    def of(cls, plugin: Plugin, sites: int) -> PluginInfo:
        """The entry of a plugin that rewrote ``sites`` places; its paper is split into title and address."""
        title, _, address = plugin.paper.partition("http")
        return cls(
            name=plugin.name,
            options=plugin.model_dump(mode="json"),
            summary=plugin.summary,
            paper=title.rstrip(" ,(:"),
            paper_url=f"http{address}".strip(" )") if address else "",
            sites=sites,
        )


class Io(Part):
    """A named input or output of the delivered file; sizes are numbers or symbol names."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str


class Delivered(Part):
    """The files that a runtime needs, relative to the bundle."""

    entry: str
    files: tuple[str, ...] = ()
    inputs: tuple[Io, ...] = ()
    outputs: tuple[Io, ...] = ()


class Machine(Part):
    """What the figures were measured on."""

    system: str
    processor: str = ""
    cores: int | None = None
    memory_bytes: int | None = None
    accelerator: str = ""


class Report(Part):
    """Everything that was gained, lost and measured in one run."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True, title="edgetok report")

    schema_version: Literal["edgetok.report/1"] = Field("edgetok.report/1", alias="schema")
    created: AwareDatetime = Field(description="ISO 8601 with a time zone.")
    plan_digest: str
    model: ModelInfo
    target: TargetInfo
    plugins: tuple[PluginInfo, ...] = ()
    tokens: Tokens
    flops: FlopsSection
    size_bytes: SizeBytes
    parity: Parity
    accuracy: Accuracy
    latency: Latency
    memory: Memory
    load_ms: LoadMs
    rewrites: tuple[Rewritten, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = Field((), description="What a person should know, such as a capped option.")
    timings: Timings
    versions: dict[str, str]
    machine: Machine
    delivered: Delivered
    lowering: Lowering | None = Field(None, description="What runs where, before and after the export.")
    preprocessing: Preprocessing | None = None
    recipe: dict[str, JsonValue] = Field(default_factory=dict, description="The resolved recipe; it replays.")

    def as_dict(self) -> dict[str, Any]:
        """Plain data under the public key names."""
        plain: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        return plain

    def to_json(self) -> str:
        """The text of ``report.json``: indented, in the schema's order, ending in a newline."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """Read ``report.json``. Raises ``pydantic.ValidationError`` where it is none."""
        return cls.model_validate_json(text)


def json_schema() -> str:
    """The JSON Schema of ``report.json`` (draft 2020-12), as published in ``docs/schema``."""
    schema = Report.model_json_schema(by_alias=True, mode="serialization")
    schema["required"] = ["schema", *schema["required"]]
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
