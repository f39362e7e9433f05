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
    why: Mapping[str, str] = Field(default_factory=dict)
    """Reasons and ways out, by operation."""
    source: str = ""
    """Where this is known from."""

    def placement(self, op: str) -> Placement:
        """What becomes of one operation."""
        if op in self.native:
            return "native"
        if op in self.fallback:
            return "fallback"
        return "unsupported" if op in self.unsupported else self.default


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
    """What one model may take there, where that is known."""
    dtypes: tuple[Dtype, ...] = ("fp32",)
    computes: Dtype = "fp32"
    """What floating-point operations are computed in there, whatever the file says."""
    precisions: tuple[Scheme, ...] = ()
    """Schemes of quantisation that run there, best first."""
    static_shapes: bool = False
    realisations: Realisations = Field(default_factory=Realisations)
    ops: OpSupport = Field(default_factory=OpSupport)
    requires: tuple[str, ...] = ()
    """Import names that must be installed, e.g. ``("onnx", "onnxruntime")``."""
    device: Literal["", "cuda"] = ""
    """Hardware that must be on the machine that exports."""
    extra: str = ""
    """The edgetok extra that brings them: ``pip install 'edgetok[onnx]'``."""
    proof: Proof = "run"
    """How far a file can be proven on this machine: run by its runtime, simulated, compiled, or lowered only."""
    verified_by: str = ""
    """The same in words; empty where the file cannot be executed here in any way."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Defaults for the exporter's own options."""
