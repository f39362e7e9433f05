"""The plugin that the documentation shows is one."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def code(repository):
    """The first Python block of the page."""
    page = (repository / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]


def test_importing_it_is_light(code):
    heavy = "\nimport sys\nassert 'torch' not in sys.modules, 'torch was imported'\n"
    subprocess.run([sys.executable, "-c", code + heavy], check=True)


def test_it_has_the_options_and_the_strength_that_the_page_says(code):
    names: dict[str, object] = {}
    exec(compile(code, "writing-a-plugin.md", "exec"), names)
    (plugin,) = names["edgetok_plugins"]()
    assert plugin().options() == {"drop": 8}
    site = SimpleNamespace(protected=1)
    assert plugin(drop=16).keep(site, 197) == 181
    assert plugin(drop=500).keep(site, 197) == 2


def test_it_keeps_the_largest(code):
    import torch

    names: dict[str, object] = {}
    exec(compile(code, "writing-a-plugin.md", "exec"), names)
    (plugin,) = names["edgetok_plugins"]()
    hidden = torch.tensor([[[0.0], [3.0], [1.0], [-4.0], [2.0]]])
    found = plugin().reduce(SimpleNamespace(hidden=hidden, protected=1), 3)
    assert found.keep.tolist() == [[0, 1, 3]]
