"""What tests of the engine share: capturing small modules, reductions that lose nothing, inputs that have twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from edgetok.graph import Program, Site, Step, TokenMap, capture, find_sites, rewrite
from edgetok.graph.signals import Signals
from edgetok.model import Component
from edgetok.ops import Order, bipartite_match, select_top
from edgetok.plugin import TokenReduction


class Identity(TokenReduction):
    """Every token to itself, through all the machinery."""

    name: ClassVar[str] = "identity"
    summary: ClassVar[str] = "Keep every token."
    paper: ClassVar[str] = "none"

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        return TokenMap.pruning(torch.arange(keep).expand(signals.hidden.shape[0], -1))


class Twins(TokenReduction):
    """Merge the most similar pairs of all: twins, wherever they stand. What is left may come out backwards."""

    name: ClassVar[str] = "twins"
    summary: ClassVar[str] = "Merge twins."
    paper: ClassVar[str] = "none"

    backwards: bool = False

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        n, r = signals.tokens, signals.tokens - keep
        unit = nn.functional.normalize(signals.hidden.float(), dim=-1)
        places = torch.arange(n)
        allowed = (places[:, None] < places) & (places[:, None] >= signals.protected)
        similar = (unit @ unit.transpose(1, 2)).masked_fill(~allowed, -2.0)
        if signals.real is not None:
            similar = similar.masked_fill(signals.real[:, :, None] != signals.real[:, None], -2.0)
        best = similar.flatten(1).topk(r).indices
        into, src = best // n, best % n
        gone = torch.zeros_like(unit[..., 0]).scatter(1, src, 1.0)
        kept = select_top(-gone, keep, 0)
        dest = (gone == 0).long().cumsum(1) - 1
        if self.backwards:
            p = signals.protected
            kept = torch.cat([kept[:, :p], kept[:, p:].flip(1)], 1)
            dest = torch.where(dest < p, dest, keep - 1 + p - dest)
        return TokenMap(kept, src, dest.gather(1, into))


class Bipartite(TokenReduction):
    """Token Merging's matching on the keys, or on the features themselves."""

    name: ClassVar[str] = "bipartite"
    summary: ClassVar[str] = "Merge similar tokens."
    paper: ClassVar[str] = "none"

    order: Order = "kept"
    features: bool = False

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        sizes = signals.sizes if signals.padded else None
        metric = signals.hidden if self.features else signals.keys
        return TokenMap(*bipartite_match(metric, sizes, signals.tokens - keep, signals.protected, self.order))


class Drop(TokenReduction):
    """Drop the shortest tokens, padding first."""

    name: ClassVar[str] = "drop"
    summary: ClassVar[str] = "Drop short tokens."
    paper: ClassVar[str] = "none"

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        scores = signals.hidden.norm(dim=-1)
        if signals.real is not None:
            scores = scores.masked_fill(~signals.real, -1.0)
        return TokenMap.pruning(select_top(scores, keep, signals.protected))


class Lab:
    """A bench for the engine: modules in, programs and outputs out."""

    identity, twins, backwards, bipartite, drop = Identity(), Twins(), Twins(backwards=True), Bipartite(), Drop()
    pairs, shuffled_pairs = Bipartite(features=True), Bipartite(features=True, order="reference")

    def component(
        self, module: nn.Module, inputs: Mapping[str, Tensor], batch_axis: int | None = 0, **axes: int | None
    ) -> Component:
        """A component whose inputs have the batch at ``batch_axis`` (``None``: static), or as ``axes`` says by name."""
        places = {name: axes.get(name, batch_axis) for name in inputs}
        dynamic = {name: {axis: "batch"} for name, axis in places.items() if axis is not None}
        return Component("model", module.eval(), inputs, dynamic)

    def capture(
        self, module: nn.Module, inputs: Mapping[str, Tensor], batch_axis: int | None = 0, **axes: int | None
    ) -> Program:
        """The module as a program."""
        return capture(self.component(module, inputs, batch_axis, **axes))

    def steps(self, sites: Sequence[Site], plugin: TokenReduction, r: int) -> list[Step]:
        """The plugin at every free site of the longest sequences, each time removing ``r`` tokens."""
        now: dict[int, int] = {}
        out = []
        longest = max((s.tokens for s in sites), default=0)
        for site in (s for s in sites if s.obstacle is None and s.tokens == longest):
            tokens = now.get(site.space.index, site.tokens)
            keep = tokens - min(r, site.mergeable(tokens) - 1)
            out.append(Step(site, plugin, keep))
            now[site.space.index] = keep
        return out

    def rewritten(self, program: Program, plugin: TokenReduction, r: int) -> Program:
        """The program with the plugin at every site that can be followed; there must be one."""
        sites = find_sites(program)
        steps = self.steps(sites, plugin, r)
        assert steps, f"no site can be followed: {[s.obstacle for s in sites]}"
        return rewrite(program, steps)

    def run(self, program: Program, inputs: Mapping[str, Tensor] | None = None) -> list[Tensor]:
        """The outputs of a program as one flat list."""
        with torch.no_grad():
            out = program.exported.module()(**dict(inputs or program.example))
        return [t for t in torch.utils._pytree.tree_leaves(out) if isinstance(t, Tensor)]

    def check_lossless(
        self,
        module: nn.Module,
        program: Program,
        plugin: TokenReduction,
        r: int,
        make: Callable[[int], dict[str, Tensor]],
        batches: Sequence[int] = (3, 1),
    ) -> Program:
        """Rewrite, and compare with the module on inputs that the plugin loses nothing of; the rewritten program."""
        rewritten = self.rewritten(program, plugin, r)
        for batch in batches:
            inputs = make(batch)
            with torch.no_grad():
                wanted = [t for t in torch.utils._pytree.tree_leaves(module(**inputs)) if isinstance(t, Tensor)]
            found = self.run(rewritten, inputs)
            assert [t.shape for t in found] == [t.shape for t in wanted]
            for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5, msg=lambda m, i=i: f"output {i}: {m}")
        return rewritten

    def twins_of(
        self, batch: int, tokens: int, channels: int, pairs: int, span: tuple[int, int] | None = None, seed: int = 0
    ) -> Tensor:
        """``(batch, tokens, channels)`` where ``pairs`` pairs within ``span`` are equal, elsewhere in every sample."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, tokens, channels, generator=generator)
        start, stop = span or (0, tokens)
        for sample in range(batch):
            order = torch.randperm(stop - start, generator=generator) + start
            x[sample, order[pairs : 2 * pairs]] = x[sample, order[:pairs]]
        return x


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The bench."""
    torch.set_num_threads(1)
    return Lab()
