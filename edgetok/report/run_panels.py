"""Sections on the run itself: what was rewritten, what was left alone and why, and how to do it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from edgetok.report.frame import how, section, table
from edgetok.report.markup import Child, Markup, tag
from edgetok.report.wording import NONE, count, number, option, refusal_groups, scaled

if TYPE_CHECKING:
    from edgetok.report.schema import Report


def changes(report: Report) -> Markup:
    """What was rewritten, and what was left alone and why."""
    return section(
        "Plugins and places",
        [_plugin(report, i) for i in range(len(report.plugins))],
        _refusals(report),
        [tag("p", note) for note in report.notes],
    )


def _plugin(report: Report, index: int) -> Markup:
    plugin = report.plugins[index]
    options = ", ".join(option(*pair) for pair in plugin.options.items())
    safe = plugin.paper_url.startswith(("https://", "http://"))
    paper = tag("a", plugin.paper or plugin.paper_url, href=plugin.paper_url) if safe else plugin.paper
    sites = [tag("li", tag("code", r.site), ": ", r.what) for r in report.rewrites if r.plugin == plugin.name]
    done = f"{count(plugin.sites, 'place')} rewritten"
    return tag(
        "div",
        tag("h3", plugin.name),
        tag("p", plugin.summary, " ", paper) if plugin.summary or plugin.paper else None,
        tag("p", tag("code", options)) if options else None,
        tag("details", tag("summary", done), tag("ul", sites)) if sites else tag("p", f"{done}."),
    )


def _refusals(report: Report) -> list[Child]:
    groups = list(refusal_groups(report).items())
    if not groups:
        return [tag("p", "No place was refused.", class_="quiet")]
    entries = [_refusal(plugin, reason, [r.site for r in found]) for (plugin, reason), found in groups]
    rest = tag("details", tag("summary", f"{len(entries) - 6} more reasons"), entries[6:]) if entries[6:] else None
    return [tag("h3", f"{count(len(report.refusals), 'place')} left alone"), entries[:6], rest]


def _refusal(plugin: str, reason: str, sites: list[str]) -> Markup:
    if len(sites) == 1:
        return tag("p", tag("strong", plugin), " at ", tag("code", sites[0]), f": {reason}")
    listed = tag("ul", [tag("li", tag("code", site)) for site in sites])
    places = tag("details", tag("summary", count(len(sites), "place")), listed)
    return tag("div", tag("p", tag("strong", plugin), f": {reason}"), places)


def reproduce(report: Report) -> Markup:
    """Recipe, versions, machine, stages."""
    machine = report.machine
    facts = [
        ("plan digest", tag("code", report.plan_digest)),
        ("machine", ", ".join(part for part in (machine.processor, machine.accelerator, machine.system) if part)),
        ("cores", f"{machine.cores}" if machine.cores else NONE),
        ("memory", scaled(machine.memory_bytes, "B")),
        *((name, version) for name, version in report.versions.items()),
    ]
    stages = [(name, f"{number(seconds)} s") for name, seconds in report.timings.seconds.items()]
    recipe = yaml.safe_dump(report.recipe, sort_keys=False, allow_unicode=True) if report.recipe else ""
    return section(
        "Reproduce",
        tag("pre", tag("code", recipe)) if recipe else None,
        table((), facts, "facts wrap"),
        tag("h3", "Time spent"),
        table((), stages, "facts") if stages else None,
        how(report.timings),
    )
