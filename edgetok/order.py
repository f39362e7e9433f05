"""In which order plugins act: decided by their tags, then by name; never by install or command-line order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise, permutations
from typing import Protocol, TypeVar

from edgetok.errors import BadRecipe, OrderCycle, TagConflict
from edgetok.suggest import hint
from edgetok.tags import check_tags


class Tagged(Protocol):
    """What ordering needs to know of a plugin."""

    @property
    def name(self) -> str:
        """Unique name."""

    @property
    def after(self) -> Iterable[str]:
        """Acts after every plugin that changes one of these."""

    @property
    def changes(self) -> Iterable[str]:
        """What it changes."""

    @property
    def excludes(self) -> Iterable[str]:
        """Cannot act together with a plugin that changes one of these."""


P = TypeVar("P", bound=Tagged)


def order(plugins: Sequence[P], pins: Sequence[str] = ()) -> list[P]:
    """Sort plugins so that each comes after all that change what it says it comes ``after``.

    Where tags leave a choice, names decide. ``pins`` is an order that a recipe asks for, as plugin names;
    it adds to what the tags demand and cannot overrule them.

    Raises:
        UnknownTag: a tag is not in the vocabulary.
        TagConflict: one plugin excludes what another changes.
        OrderCycle: tags and pins cannot all be met.
        BadRecipe: a pin names no plugin of this plan.
    """
    by_name = {p.name: p for p in plugins}
    for plugin in plugins:
        check_tags(plugin.name, {*plugin.after, *plugin.changes, *plugin.excludes})
    _check_conflicts(plugins)
    before = _predecessors(plugins)
    _add_pins(before, pins)
    return [by_name[name] for name in _sort(before)]


def _check_conflicts(plugins: Sequence[P]) -> None:
    for a, b in permutations(plugins, 2):
        if both := sorted(set(a.excludes) & set(b.changes)):
            raise TagConflict(
                f"plugins {a.name!r} and {b.name!r} cannot be combined",
                why=f"{a.name!r} excludes what {b.name!r} changes: {', '.join(both)}",
                hint=f"leave out {a.name!r} or {b.name!r}",
            )


def _predecessors(plugins: Sequence[P]) -> dict[str, dict[str, str]]:
    """For each name the names that come before it, each with the reason."""
    before: dict[str, dict[str, str]] = {p.name: {} for p in plugins}
    for first, then in permutations(plugins, 2):
        if shared := sorted(set(then.after) & set(first.changes)):
            before[then.name][first.name] = f"{then.name!r} comes after changes of {', '.join(shared)}"
    return before


def _add_pins(before: dict[str, dict[str, str]], pins: Sequence[str]) -> None:
    for name in pins:
        if name not in before:
            raise BadRecipe(
                f"the recipe pins {name!r}, which is not among its plugins", hint=hint(name, before, kind="plugin")
            )
    for first, then in pairwise(pins):
        before[then].setdefault(first, f"the recipe pins {first!r} before {then!r}")


def _sort(before: Mapping[str, Mapping[str, str]]) -> list[str]:
    waiting = {name: set(firsts) for name, firsts in before.items()}
    ready = [name for name, firsts in waiting.items() if not firsts]
    heapify(ready)
    done: list[str] = []
    while ready:
        name = heappop(ready)
        done.append(name)
        del waiting[name]
        for other, firsts in waiting.items():
            if name in firsts:
                firsts.remove(name)
                if not firsts:
                    heappush(ready, other)
    if waiting:
        raise _cycle(before, waiting)
    return done


def _cycle(before: Mapping[str, Mapping[str, str]], waiting: Mapping[str, set[str]]) -> OrderCycle:
    """Walk back from any waiting plugin until one repeats: that is the cycle."""
    path = [min(waiting)]
    while path[-1] not in path[:-1]:
        path.append(min(waiting[path[-1]]))
    loop = path[path.index(path[-1]) :][::-1]
    return OrderCycle(
        f"the plugins ask for a circular order: {' -> '.join(loop)}",
        why="; ".join(before[then][first] for first, then in pairwise(loop)),
        hint="leave one of them out, or remove the pin that closes the circle",
    )
