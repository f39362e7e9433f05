"""The ViT-Tiny of ``EDGETOK_DATA``: captured once, with its real pictures, and what a plugin does to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from edgetok.evaluate import load_dataset
from edgetok.graph import Program, Site, Step, rewrite
from edgetok.model import Model
from edgetok.plan import make_plan, steps_of
from edgetok.plugin import TokenReduction
from edgetok.progress import Silent
from edgetok.recipe_file import make_recipe
from edgetok.report.flops import Flops, count_flops
from edgetok.session.clock import Clock
from edgetok.session.inputs import Fitted
from edgetok.session.prepare import find_tools, prepare, with_weights
from edgetok.target import Target
from edgetok.tune.judge import Judge

DATA = Path(os.environ.get("EDGETOK_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
BATCH = 50


@dataclass(frozen=True)
class Subject:
    """A model of one token space, its sites, and the target that it is counted and exported for."""

    model: Model
    program: Program
    sites: tuple[Site, ...]
    target: Target

    @classmethod
    def load(cls) -> Subject:
        """The model, captured."""
        recipe = make_recipe({"model": str(DATA / "vit_tiny_in1k"), "target": "onnx-cpu"}, source="benchmarks")
        prepared = with_weights(prepare(recipe, find_tools(recipe), None, Clock(Silent())))
        return cls(prepared.model, prepared.program, prepared.sites, prepared.tools.target)

    def judge(self, folder: str) -> Judge:
        """Losses on a folder of pictures of ``EDGETOK_DATA``."""
        data = load_dataset(str(DATA / folder), self.model.preprocessing, input_name=self.program.inputs[0].name)
        return Judge(self.program, Fitted(data, self.program.inputs), BATCH, labelled=True)

    def tokens(self, plugin: TokenReduction) -> tuple[int, ...]:
        """Tokens that enter each attention, then those left at the end."""
        counts = [self.sites[0].tokens]
        for site in self.sites:
            counts.append(plugin.keep(site, counts[-1]))
        return tuple(counts)

    def steps(self, plugin: TokenReduction) -> list[Step]:
        """The reductions of a plugin."""
        return steps_of(make_plan(self.program, self.sites, [plugin], self.target), self.sites, [plugin])

    def rewritten(self, plugin: TokenReduction | None) -> Program:
        """The program with a plugin applied; without one, dense."""
        return rewrite(self.program, self.steps(plugin) if plugin else ())

    @cached_property
    def dense_flops(self) -> Flops:
        """Of the dense program."""
        return count_flops(self.rewritten(None), self.target.realisations)

    def flops_saved(self, plugin: TokenReduction) -> float:
        """Per cent of the dense FLOPs, what the plugin inserts included."""
        found = count_flops(self.rewritten(plugin), self.target.realisations)
        return 100.0 * (1.0 - found.total / self.dense_flops.total)

    def estimate(self, plugin: TokenReduction) -> float:
        """The same without what the plugin inserts, from numbers of tokens alone.

        Of a block's weights a third is before the reduction and two thirds after it.
        """
        counts = self.tokens(plugin)
        layers, dense = len(self.sites), self.sites[0].tokens
        attention = 4 * dense**2 * self.channels * layers
        weights = self.dense_flops.categories["blocks"] - attention
        saved = sum(
            attention * (1 - (before / dense) ** 2) + weights * (1 - (before + 2 * after) / (3 * dense))
            for before, after in pairwise(counts)
        )
        return 100.0 * saved / layers / self.dense_flops.total

    @property
    def channels(self) -> int:
        """Width of the residual stream."""
        anchor = self.sites[0].anchor
        assert anchor is not None, "every attention of this model can be reduced after"
        return int(anchor.meta["val"].shape[-1])
