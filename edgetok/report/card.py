"""``README.md`` of a bundle: a model card with figures, how to load it, its limits and its licence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from edgetok.report.figures import figures
from edgetok.report.snippets import load_snippet
from edgetok.report.wording import clean, count, interval, option, refusal_groups, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgetok.report.schema import PluginInfo, Report


SHOWN = 5
"""Reasons for refusals that the card lists."""


def render_card(report: Report) -> str:
    """The model card in Markdown, with the front matter that model hubs read. Strings from outside are escaped."""
    parts = [
        _front_matter(report),
        f"# {plain(report.model.name)}, optimised by edgetok",
        _verdict(report),
        _about(report),
        "## Figures\n\n" + _figures(report),
        "## Use\n\n" + _use(report),
        _preprocessing(report),
        "## Plugins\n\n" + ("\n".join(_plugin(plugin) for plugin in report.plugins) or "None."),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in limits(report)),
        "## Recipe\n\nPlan digest " + span(report.plan_digest) + ".\n\n" + fence(_yaml(report.recipe), "yaml"),
        "## Licence\n\n" + _licence(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: str) -> str:
    """Text that Markdown and HTML leave alone, on one line."""
    one_line = " ".join(clean(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|!&~$])", r"\\\1", one_line)


def span(text: str) -> str:
    """A code span that its content cannot end, also inside a table."""
    content = " ".join(clean(text).split()).replace("|", "\u00a6") or " "
    ticks = "`" * (_longest_run(content) + 1)
    return f"{ticks} {content} {ticks}" if "`" in content else f"`{content}`"


def fence(text: str, language: str) -> str:
    """A code block that its content cannot end."""
    ticks = "`" * max(3, _longest_run(text) + 1)
    return f"{ticks}{language}\n{clean(text).rstrip()}\n{ticks}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def limits(report: Report) -> list[str]:
    """What the report does not show, in sentences."""
    lines = ["Figures hold for the device and runtime named beside them; on other devices they may reverse."]
    if not report.parity.executed:
        lines.insert(0, "**Not proven: this file was not executed where it was made.**")
    elif not report.parity.passed:
        lines.insert(0, "**Parity failed. This file does not compute what the model computes.**")
    if report.parity.executed and report.parity.inputs == "seeded":
        lines.append("Parity was checked on seeded random inputs, not on real ones.")
    if report.accuracy.drop is None:
        lines.append("Accuracy was not evaluated: check it on your own data before use.")
    elif report.accuracy.ci95:
        span_ = interval(*report.accuracy.ci95)
        lines.append(f"With {report.accuracy.n:,} samples the accuracy drop is known to {span_} points (95 %).")
    if report.latency.ratio is None:
        lines.append("Latency was not measured.")
    groups = list(refusal_groups(report).items())
    lines += [f"{plain(p)} left {count(len(found), 'place')} alone: {plain(r)}" for (p, r), found in groups[:SHOWN]]
    if groups[SHOWN:]:
        lines.append(f"{count(len(groups) - SHOWN, 'more reason')} for places left alone: see report.html.")
    return [*lines, *(plain(note) for note in report.notes)]


def _front_matter(report: Report) -> str:
    tags = ["edgetok", *(p for p in (report.target.exporter,) if p), *(plugin.name for plugin in report.plugins)]
    matter: dict[str, object] = {"tags": [clean(tag) for tag in tags]}
    if re.fullmatch(r"[a-z0-9][a-z0-9.\-]*", report.model.licence):
        matter["license"] = report.model.licence
    return f"---\n{_yaml(matter)}---"


def _verdict(report: Report) -> str:
    found = verdict(report)
    text = " ".join((f"**{plain(found.headline)}**", *(plain(line) for line in found.details)))
    return f"> [!CAUTION]\n> {text}" if found.level == "fail" else text


def _about(report: Report) -> str:
    model, target = report.model, report.target
    source = f" from {span(model.source)}" if model.source else ""
    summary = f" {plain(target.summary)}" if target.summary else ""
    return (
        f"Base model: {plain(model.name)}{source}. Target: {plain(target.name)} ({plain(target.runtime)}, "
        f"{plain(target.dtype)}).{summary} All details: [report.html](report.html), [report.json](report.json)."
    )


def _figures(report: Report) -> str:
    rows = [
        (plain(f.name), plain(f.dense), plain(f.optimized), plain(f.compared), plain(f.how)) for f in figures(report)
    ]
    return table(("figure", "dense", "optimised", "dense / optimised", "how"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are Markdown already."""
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _use(report: Report) -> str:
    snippet = load_snippet(report)
    files = ", ".join(span(name) for name in (report.delivered.files or (report.delivered.entry,)))
    shapes = table(
        ("tensor", "shape", "dtype"),
        [
            (f"{kind} {span(spec.name)}", span(" x ".join(str(size) for size in spec.shape)), span(spec.dtype))
            for kind, specs in (("input", report.delivered.inputs), ("output", report.delivered.outputs))
            for spec in specs
        ],
    )
    code = fence(snippet, "python") if snippet else f"Open {span(report.delivered.entry)} in {report.target.runtime}."
    return f"Files: {files}.\n\n{shapes}\n\n{code}"


def _preprocessing(report: Report) -> str:
    if report.preprocessing is None:
        return ""
    return "## Preprocessing\n\n" + fence(_yaml(report.preprocessing.model_dump(mode="json")), "yaml")


def _plugin(plugin: PluginInfo) -> str:
    options = ", ".join(span(option(*pair)) for pair in plugin.options.items())
    linked = plugin.paper_url.startswith(("https://", "http://")) and not set(plugin.paper_url) & set(" <>()\\\"'\n")
    paper = f"[{plain(plugin.paper)}]({plugin.paper_url})" if linked and plugin.paper else plain(plugin.paper)
    return f"- **{plain(plugin.name)}**: {plain(plugin.summary)} {paper}" + (
        f"\n  Options: {options}" if options else ""
    )


def _licence(report: Report) -> str:
    if report.model.licence:
        return f"The base model's source states: {plain(report.model.licence)}. This file is derived from it."
    return "The base model's source states no licence: ask its author before you pass this file on."


def _yaml(data: object) -> str:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text
