"""One plugin on one model: planned, rewritten and watched, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from edgetok.graph import Program, Step, capture, find_sites, rewrite, run_rewritten
from edgetok.plan import Plan, make_plan, steps_of
from edgetok.target import Target
from edgetok.testing.reductions import Watch, Watched

if TYPE_CHECKING:
    from edgetok.graph import Site
    from edgetok.model import Component
    from edgetok.plugin import TokenReduction
    from edgetok.testing.cases import Factory

NOWHERE = Target(name="conformance", summary="torch, on this machine", exporter="none", runtime="torch")


class Subject:
    """A model, captured; shared by all plugins that are tried on it."""

    def __init__(self, factory: Factory) -> None:
        self.component: Component = factory()

    @cached_property
    def program(self) -> Program:
        """The captured program."""
        return capture(self.component)

    @cached_property
    def sites(self) -> list[Site]:
        """Its attention sites."""
        return find_sites(self.program)

    @cached_property
    def dense(self) -> Program:
        """The program re-traced with no reduction: what rewritten ones are compared with."""
        return rewrite(self.program)

    @cached_property
    def dense_outputs(self) -> list[Tensor]:
        """What ``dense`` makes of the example inputs."""
        return run(self.dense)

    @cached_property
    def walked(self) -> list[Tensor]:
        """What an eager walk with no reduction makes of them."""
        return run_rewritten(self.program, [], self.program.example)


subject = lru_cache(maxsize=None)(Subject)
"""The subject of a factory, made once."""


class Trial:
    """A plugin with its options on a subject.

    Args:
        plugin: the reduction.
        subject: the model.
    """

    def __init__(self, plugin: TokenReduction, subject: Subject) -> None:
        self.plugin = plugin
        self.subject = subject

    @cached_property
    def plan(self) -> Plan:
        """What the plugin wants at every site; a plugin that is refused everywhere is no error here."""
        return make_plan(self.subject.program, self.subject.sites, [self.plugin], NOWHERE, strict=False)

    @cached_property
    def steps(self) -> list[Step]:
        """Where the plan leaves fewer tokens."""
        return steps_of(self.plan, self.subject.sites, [self.plugin])

    @cached_property
    def optimised(self) -> Program:
        """The rewritten program; where there is no step, the dense one, which is what rewriting gives then."""
        return rewrite(self.subject.program, self.steps) if self.steps else self.subject.dense

    @cached_property
    def outputs(self) -> list[Tensor]:
        """What it makes of the example inputs."""
        return run(self.optimised)

    @cached_property
    def watched(self) -> list[Watched]:
        """Every call of ``reduce``, on the example inputs."""
        watch = Watch(self.plugin)
        steps = [replace(step, plugin=watch) for step in self.steps]  # type: ignore[arg-type]
        run_rewritten(self.subject.program, steps, self.subject.program.example)
        return watch.seen


def run(program: Program, inputs: Mapping[str, Tensor] | None = None) -> list[Tensor]:
    """The outputs of a program in torch, on its example inputs unless given others."""
    with torch.no_grad():
        out = program.exported.module()(**(program.example if inputs is None else inputs))
    return [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]


def text(program: Program) -> list[str]:
    """A program's graph as lines of text: operations, wiring and arguments."""
    return [f"{n.name} = {n.op} {n.target} {n.args} {dict(n.kwargs)}" for n in program.graph.nodes]


def notes(program: Program) -> list[list[str]]:
    """The names under which each node of a graph keeps metadata."""
    return [sorted(map(str, node.meta)) for node in program.graph.nodes]


def first_difference(found: list[str], want: list[str]) -> str:
    """The first line in which two texts differ, both ways; empty where they are the same."""
    pairs = enumerate(zip_longest(found, want, fillvalue="(nothing)"))
    return next((f"node {i}: {a!r}, not {b!r}" for i, (a, b) in pairs if a != b), "")


def difference(found: Tensor, want: Tensor) -> float:
    """The largest difference relative to the largest wanted value; infinite where shapes or finiteness differ."""
    if found.shape != want.shape or not bool(found.isfinite().all()):
        return float("inf")
    if not found.numel():
        return 0.0
    return float((found.double() - want.double()).abs().max() / want.double().abs().max().clamp_min(1e-12))


def alike(found: list[Tensor], want: list[Tensor]) -> bool:
    """Whether outputs are bit-identical."""
    return len(found) == len(want) and all(
        a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(found, want, strict=True)
    )
