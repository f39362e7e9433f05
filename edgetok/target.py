"""Targets are data: where a program will run, what exists there, and which realisations pay there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edgetok.precision import Scheme

Match = Literal["sort", "sort-free"]
Reduce = Literal["gather", "one-hot"]
Dtype = Literal["fp32", "fp16"]
Placement = Literal["native", "fallback", "unsupported"]
Proof = Literal["run", "simulated", "compiled", "lowered"]


class Realisations(BaseModel):
    """Which implementation of each ``edgetok::`` primitive a target wants.

    ``one_hot_below`` overrides ``reduce`` with the one-hot matmul where the old token count is below it. ``fused`` lets
    a match hand its bipartite structure to the reductions that follow it (sort-free only).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: Match = "sort"
    reduce: Reduce = "gather"
    one_hot_below: int = 0
    fused: bool = False

    def reduce_for(self, tokens: int) -> Reduce:
        """The realisation of ``reduce`` and ``restore`` for ``tokens`` old tokens."""
        return "one-hot" if tokens < self.one_hot_below else self.reduce


class OpSupport(BaseModel):
    """What becomes of each ATen operation, by its name without namespace and overload (``"linear"``).

    ``native`` runs where the target wants it, ``fallback`` elsewhere at a cost (another processor, a kernel outside
    the delegate), ``unsupported`` not at all. An operation in none of the lists is what ``default`` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    native: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    default: Placement = "fallback"
    inserted: Placement | None = None
    """What becomes of every operation that a plugin inserted, where it is another thing: what is never quantised has no
    place on an NPU of integers."""
    why: Mapping[str, str] = Field(default_factory=dict)
    """Reasons and ways out, by operation."""
    source: str = ""
    """Where this is known from."""

    def placement(self, op: str, *, inserted: bool = False) -> Placement:
        """What becomes of one operation of the model, or of one that a plugin inserted."""
        if inserted and self.inserted and op not in self.unsupported:
            return self.inserted
        if op in self.native:
            return "native"
        if op in self.fallback:
            return "fallback"
        return "unsupported" if op in self.unsupported else self.default


class PackedWidths(BaseModel):
    """What becomes of packed codes of each width: 1, 2, 3, 4 or 8 bits.

    ``native`` widths are computed with as they lie in the file. ``widened`` ones are smaller in the file only: they are
    made wider when it is loaded, each to the native width it names, and computed with as such. All ``others`` are
    packed in the file and made floating-point, once when it is ``load``ed or in every ``run``; or they are ``refused``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    native: tuple[int, ...] = ()
    widened: Mapping[int, int] = Field(default_factory=dict)
    others: Literal["load", "run", "refused"] = "run"

    def placement(self, bits: int) -> Literal["native", "widened", "load", "run", "refused"]:
        """What becomes of one width."""
        return "native" if bits in self.native else "widened" if bits in self.widened else self.others


class PackedSupport(PackedWidths):
    """The same of weights that come packed (``edgetok::packed_matmul``), what it costs, and with rounded inputs."""

    rounded: PackedWidths | None = None
    """The same where products may round their inputs to 8 bits; ``None`` where no kernel does."""
    cost: str = ""
    """What that costs, in words with figures."""
    source: str = ""
    """Where this is known from."""


class Target(BaseModel):
    """One device profile, read from a TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    summary: str
    aliases: tuple[str, ...] = ()
    exporter: str
    runtime: str
    delegate: str = ""
    """The part of the runtime that shall run as much as possible: ``xnnpack``, ``qnn-htp``, ...; '' for all of it."""
    minimum_os: str = ""
    memory_budget_mb: int | None = None
    """What one model may take there, in units of 2^20 bytes, where that is known; reports say where files exceed it."""
    memory_source: str = ""
    """Where that is known from."""
    dtypes: tuple[Dtype, ...] = ("fp32",)
    computes: Dtype = "fp32"
    """What floating-point operations are computed in there, whatever the file says."""
    precisions: tuple[Scheme, ...] = ()
    """Schemes of quantisation that run there, best first."""
    static_shapes: bool = False
    realisations: Realisations = Field(default_factory=Realisations)
    ops: OpSupport = Field(default_factory=OpSupport)
    packed: PackedSupport = Field(default_factory=PackedSupport)
    requires: tuple[str, ...] = ()
    """Import names that must be installed, e.g. ``("onnx", "onnxruntime")``."""
    packages: Mapping[str, str] = Field(default_factory=dict)
    """The packages that bring them, where those have other names."""
    device: Literal["", "cuda"] = ""
    """Hardware that must be on the machine that exports."""
    extra: str = ""
    """The edgetok extra that brings them: ``pip install 'edgetok[onnx]'``."""
    proof: Proof = "run"
    """How far a file can be proven on this machine: run by its runtime, simulated, compiled, or lowered only."""
    verified_by: str = ""
    """The same in words; empty where the file cannot be executed here in any way."""
    samples: int | None = Field(None, ge=1)
    """Samples that files are compared and evaluated on here, where simulating them is slow; None for all."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Defaults for the exporter's own options."""
