"""Targets are data: where a program will run, what exists there, and which realisations pay there."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Match = Literal["sort", "sort-free"]
Reduce = Literal["gather", "one-hot"]
Dtype = Literal["fp32", "fp16"]


class Realisations(BaseModel):
    """Which implementation of each ``edgetok::`` primitive a target wants.

    ``one_hot_below`` overrides ``reduce`` with the one-hot matmul where the old token count is below it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: Match = "sort"
    reduce: Reduce = "gather"
    one_hot_below: int = 0

    def reduce_for(self, tokens: int) -> Reduce:
        """The realisation of ``reduce`` and ``restore`` for ``tokens`` old tokens."""
        return "one-hot" if tokens < self.one_hot_below else self.reduce


class Target(BaseModel):
    """One device profile, read from a TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    summary: str
    aliases: tuple[str, ...] = ()
    exporter: str
    runtime: str
    dtypes: tuple[Dtype, ...] = ("fp32",)
    static_shapes: bool = False
    realisations: Realisations = Field(default_factory=Realisations)
    requires: tuple[str, ...] = ()
    """Import names that must be installed, e.g. ``("onnx", "onnxruntime")``."""
    extra: str = ""
    """The edgetok extra that brings them: ``pip install 'edgetok[onnx]'``."""
    verified_by: str = ""
    """How a bundle for this target is verified on this machine."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Defaults for the exporter's own options."""
