"""The model, the plugin that is tuned, and what a choice of its options means in tokens and latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgetok.errors import BadCommand
from edgetok.options import build
from edgetok.plan import make_plan, steps_of
from edgetok.plugin import TokenReduction

if TYPE_CHECKING:
    from edgetok.graph import Step
    from edgetok.plan import Plan
    from edgetok.session.prepare import Prepared
    from edgetok.tune.result import Curve


@dataclass(frozen=True)
class Candidate:
    """The tuned plugin with options, and what it does to the space that is reduced most.

    Attributes:
        plugin: with its options.
        removed: tokens that go after each attention of the space.
        entering: tokens that enter each of them, and those left at the end.
        dense: the same of the dense program.
        plan: of all plugins together.
    """

    plugin: TokenReduction
    removed: tuple[int, ...]
    entering: tuple[int, ...]
    dense: tuple[int, ...]
    plan: Plan

    @property
    def tokens(self) -> tuple[int, ...]:
        """Tokens left after each attention."""
        return self.entering[1:]

    @property
    def tokens_share(self) -> float:
        """Tokens after each attention, of the dense ones, averaged."""
        return sum(self.tokens) / sum(self.dense[1:])

    @property
    def loads(self) -> tuple[float, ...]:
        """What each layer runs on, of its dense tokens: a third of its weights before the reduction, the rest after."""
        pairs = zip(self.entering, self.entering[1:], self.dense, strict=False)
        return tuple((before + 2 * after) / (3 * dense) for before, after, dense in pairs)

    @property
    def merges(self) -> int:
        """How many reductions there are."""
        return sum(n > 0 for n in self.removed)


@dataclass(frozen=True)
class Setting:
    """A prepared model with real weights, and the one plugin among its plugins that is tuned."""

    prepared: Prepared
    plugin: TokenReduction
    curve: Curve | None = None

    @classmethod
    def of(cls, prepared: Prepared) -> Setting:
        """The setting of a recipe.

        Raises:
            BadCommand: not exactly one of its plugins can be tuned, or one quantises.
        """
        plugins = prepared.tools.plugins
        other = [p.name for p in plugins if not isinstance(p, TokenReduction)]
        if other:
            raise BadCommand(
                f"{', '.join(other)} cannot be tuned together with tokens",
                why="schedules are compared in fp32",
                hint="tune the token reduction alone, then add the rest to the recipe that comes out",
            )
        tuned = [p for p in plugins if isinstance(p, TokenReduction) and is_tunable(p)]
        if len(tuned) != 1:
            raise BadCommand(
                "one plugin to tune is wanted",
                why=f"{len(tuned)} of the plugins have a schedule or a search space: {[p.name for p in tuned]}",
                hint="--plugins tome",
            )
        return cls(prepared, tuned[0])

    @property
    def plugins(self) -> tuple[TokenReduction, ...]:
        """All plugins, in the order they act."""
        return tuple(p for p in self.prepared.tools.plugins if isinstance(p, TokenReduction))

    @cached_property
    def dense(self) -> Candidate:
        """Nothing reduced, where the plugin can be told so; else its own first plan."""
        return self.candidate([0] * self.layers)

    @cached_property
    def space(self) -> int:
        """The space whose sites the plugin may act at most often."""
        decided = [d for d in self.prepared.plan.decisions if d.plugin == self.plugin.name and d.refusal is None]
        indices = [d.space for d in decided]
        return max(sorted(set(indices)), key=indices.count, default=0)

    @cached_property
    def layers(self) -> int:
        """How many attentions the space has."""
        return sum(site.space.index == self.space for site in self.prepared.sites)

    @cached_property
    def mergeable(self) -> int:
        """The most tokens that any layer could remove."""
        sites = [site for site in self.prepared.sites if site.space.index == self.space]
        return max(site.mergeable(site.tokens) for site in sites) - 1

    @property
    def is_scheduled(self) -> bool:
        """Whether the plugin takes a number per layer."""
        return self.plugin.with_schedule([0]) is not None

    @cached_property
    def guessed(self) -> Mapping[str, Any]:
        """Options whose search space names a value worth trying first, at that value, where it is not the one given."""
        given = self.plugin.model_dump(mode="json")
        spaces = searched(self.plugin)
        return {
            name: space["guess"] for name, space in spaces.items() if space.get("guess", given[name]) != given[name]
        }

    def moved(self, candidate: Candidate) -> int:
        """How many reductions a candidate has whose options are away from those given, where guesses were timed."""
        given, found = (plugin.model_dump(mode="json") for plugin in (self.plugin, candidate.plugin))
        return candidate.merges if any(found[name] != given[name] for name in self.guessed) else 0

    def candidate(self, removed: Sequence[int] | None = None, options: Mapping[str, Any] | None = None) -> Candidate:
        """The plugin with other options, and a schedule where it has one."""
        plugin = self.plugin
        if options:
            plugin = build(type(plugin), {**plugin.model_dump(), **options}, f"plugin {plugin.name!r}")
        scheduled = plugin.with_schedule(removed) if removed is not None else None
        return self._planned(plugin if scheduled is None else scheduled)

    def with_rates(self, dropped: Sequence[int], merged: Sequence[int]) -> Candidate:
        """The plugin asked to drop and to merge so many tokens in each layer; it must be one that can be."""
        plugin = self.plugin.with_rates(dropped, merged)
        assert plugin is not None, f"{self.plugin.name} has no rates"
        return self._planned(plugin)

    def settled(self, candidate: Candidate) -> Candidate:
        """The candidate with a schedule of what really goes, where layers were capped."""
        plugin = candidate.plugin.with_schedule(candidate.removed)
        return candidate if plugin in (None, candidate.plugin) else self._planned(plugin)

    def _planned(self, plugin: TokenReduction) -> Candidate:
        plugins = [plugin if p is self.plugin else p for p in self.plugins]
        prepared = self.prepared
        plan = make_plan(prepared.program, prepared.sites, plugins, prepared.tools.target, strict=False)
        own = [d for d in plan.decisions if d.space == self.space]
        rounds = [own[i : i + len(plugins)] for i in range(0, len(own), len(plugins))]
        entering = [each[0].tokens for each in rounds] + [rounds[-1][-1].keep]
        dense = [site.tokens for site in prepared.sites if site.space.index == self.space]
        removed = tuple(each[0].tokens - each[-1].keep for each in rounds)
        return Candidate(plugin, removed, tuple(entering), (*dense, dense[-1]), plan)

    def steps(self, candidate: Candidate) -> list[Step]:
        """The reductions of a candidate, ready for a walk."""
        plugins = [candidate.plugin if p is self.plugin else p for p in self.plugins]
        return steps_of(candidate.plan, self.prepared.sites, plugins)

    def latency(self, candidate: Candidate) -> float | None:
        """Predicted from the curve, relative to dense; ``None`` without one."""
        from edgetok.tune.curve import predict

        if self.curve is None:
            return None
        return predict(self.curve, candidate.loads, candidate.merges, self.moved(candidate))

    def cost(self, candidate: Candidate, kind: str) -> float:
        """What a budget of a kind of goal bounds: tokens for ``tokens``, else latency where it is known."""
        latency = None if kind == "tokens" else self.latency(candidate)
        return candidate.tokens_share if latency is None else latency

    def chosen(self, candidate: Candidate) -> Prepared:
        """The prepared model with the candidate in place of the plugin."""
        plugins = tuple(candidate.plugin if p is self.plugin else p for p in self.plugins)
        tools = replace(self.prepared.tools, plugins=plugins)
        return replace(self.prepared, tools=tools, plan=candidate.plan)


def is_tunable(plugin: TokenReduction) -> bool:
    """Whether a plugin has a schedule, or an option that declares a search space."""
    return plugin.with_schedule([0]) is not None or bool(searched(plugin))


def searched(plugin: TokenReduction) -> dict[str, Mapping[str, Any]]:
    """The search space that options declare, by name; not of those that a schedule sets."""
    scheduled = plugin.with_schedule([0])
    before = plugin.model_dump()
    changed = set() if scheduled is None else {k for k, v in scheduled.model_dump().items() if v != before[k]}
    found: dict[str, Mapping[str, Any]] = {}
    for name, field in type(plugin).model_fields.items():
        extra = field.json_schema_extra
        space = extra.get("search") if isinstance(extra, Mapping) else None
        if isinstance(space, Mapping) and name not in changed:
            found[name] = space
    return found
