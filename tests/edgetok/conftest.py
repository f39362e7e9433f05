"""Real distributions for tests: metadata, entry points and modules in a folder on the path."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

MakeDistribution = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder on ``sys.path``; what was imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(str(folder))]:
        del sys.modules[name]


@pytest.fixture
def distribution(site: Path) -> MakeDistribution:
    """``distribution("acme", "1.0", acme="source of module acme")`` installs one with an entry point per module."""

    def make(name: str, version: str, **modules: str) -> None:
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        points = "".join(f"{module} = {module}\n" for module in modules)
        (info / "entry_points.txt").write_text(f"[edgetok]\n{points}")
        for module, source in modules.items():
            (site / f"{module}.py").write_text(textwrap.dedent(source))

    return make


@pytest.fixture
def points(site: Path) -> Callable[[], list[EntryPoint]]:
    """The entry points of the distributions made so far."""
    return lambda: [p for d in distributions(path=[str(site)]) for p in d.entry_points if p.group == "edgetok"]
