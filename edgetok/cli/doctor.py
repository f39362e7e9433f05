"""``edgetok doctor``: what is installed, and what each target can do here."""

from __future__ import annotations

from edgetok.cli.arguments import Json
from edgetok.cli.output import emit, plain, show, table
from edgetok.cli.plugins import broken_rows, show_broken
from edgetok.doctor import Diagnosis, examine
from edgetok.registry import installed


def doctor(as_json: Json = False) -> None:
    """Show versions, extras, broken plugins, and whether each target exports and runs here."""
    registry = installed()
    found = examine(registry)
    if as_json:
        emit({**plain(found), "broken": broken_rows(registry)})
        return
    show(table(("", ""), [("python", found.python), ("platform", found.platform), ("cpus", str(found.cpus))]), "")
    _show_packages(found)
    _show_targets(found)
    show_broken(registry.broken)


def _show_packages(found: Diagnosis) -> None:
    rows = [(p.name, p.version or "not installed", p.extra and f"edgetok[{p.extra}]") for p in found.packages]
    show(table(("package", "version", "extra"), rows), "")


def _show_targets(found: Diagnosis) -> None:
    rows = [(t.name, _yes(t.exports), _yes(t.runs), t.why_not, t.fix) for t in found.targets]
    show(table(("target", "exports here", "runs here", "why not", "way out"), rows))


def _yes(value: bool) -> str:
    return "yes" if value else "no"
