"""The conformance kit for targets: state a name, run pytest."""

from __future__ import annotations

import re
from importlib.metadata import metadata, requires

from edgetok.options import build
from edgetok.registry import installed
from edgetok.target import Target


class TargetConformance:
    """What every target must say.

    Attributes:
        target: its name, or the path of a ``.toml`` file.
    """

    target: str

    def test_words_are_there(self) -> None:
        """A kebab-case name and aliases; a summary and a runtime for people."""
        target = self._target()
        for name in (target.name, *target.aliases):
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name), f"{name!r} is not kebab-case"
        assert len(target.summary.split()) >= 3, f"the summary says too little: {target.summary!r}"
        assert target.runtime, "name the runtime"

    def test_exporter_is_installed_and_takes_its_options(self) -> None:
        """The exporter exists, and the target's options are options of that exporter."""
        target = self._target()
        exporter = installed().exporter(target.exporter)
        build(exporter.Options, target.options, f"exporter {target.exporter!r}")

    def test_names_are_unique(self) -> None:
        """Its name and every alias lead to it and to nothing else."""
        target = self._target()
        if self.target.endswith(".toml"):
            taken = {name for name in (target.name, *target.aliases) if name in installed().target_names()}
            assert not taken, f"already the names of installed targets: {taken}"
        else:
            names = installed().target_names()
            assert {names[name] for name in (target.name, *target.aliases)} == {target.name}

    def test_packages_come_with_its_extra(self) -> None:
        """What it needs is named, and the extra it points to brings all of it."""
        target = self._target()
        assert all(name.isidentifier() for name in target.requires), "requires holds import names"
        if not target.extra:
            return
        assert target.extra in (metadata("edgetok").get_all("Provides-Extra") or ()), f"no extra {target.extra!r}"
        marker = re.compile(rf"extra\s*==\s*['\"]{re.escape(target.extra)}['\"]")
        brought = {re.split(r"[^\w.-]", line)[0] for line in requires("edgetok") or () if marker.search(line)}
        wanted = {target.packages.get(name, name) for name in target.requires}
        assert {name.replace("-", "_") for name in wanted} <= {name.replace("-", "_") for name in brought}, (
            f"the extra brings {brought}"
        )

    def _target(self) -> Target:
        return installed().target(self.target)
