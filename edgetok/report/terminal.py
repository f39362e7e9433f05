"""The before/after table that the command line prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgetok.report.figures import Figure, figures
from edgetok.report.wording import Level, clean, count, refusal_groups, verdict

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgetok.report.schema import Report

STYLES: dict[Level, str] = {"good": "bold green", "plain": "bold", "warn": "bold yellow", "fail": "bold white on red"}


def render_table(report: Report) -> RenderableType:
    """The verdict, a dense/optimised table, and what was left alone. Names are shown as text, never as mark-up."""
    found = verdict(report)
    lines = [Text(f" {found.headline} " if found.level == "fail" else found.headline, style=STYLES[found.level])]
    lines += [Text(clean(detail)) for detail in found.details]
    lines += [Text(clean(note), style="dim") for note in (*_left_alone(report), *report.notes)]
    return Group(_table(report), Text(), *lines)


def _table(report: Report) -> Table:
    plugins = ", ".join(plugin.name for plugin in report.plugins) or "no plugin"
    title = clean(f"{report.model.name}: {plugins} for {report.target.name}")
    table = Table(title=Text(title), title_justify="left", pad_edge=False, box=None, header_style="dim")
    table.add_column("")
    for name in ("dense", "optimised", "dense / optimised"):
        table.add_column(name, justify="right")
    for figure in figures(report):
        table.add_row(*_cells(figure))
    return table


def _cells(figure: Figure) -> list[Text]:
    style = "bold red" if figure.compared == "FAILED" else "bold"
    return [Text(figure.name), Text(figure.dense), Text(figure.optimized), Text(figure.compared, style=style)]


def _left_alone(report: Report) -> list[str]:
    return [
        f"{plugin} left {count(len(found), 'place')} alone: {reason}"
        for (plugin, reason), found in list(refusal_groups(report).items())[:3]
    ]
