"""docs/writing-a-plugin.md is true: its plugin works, and its table names every check."""

from __future__ import annotations

import importlib
import re

import pytest

from edgetok.testing import PluginConformance, zoo
from edgetok.testing.plugin import check_names, checks


@pytest.fixture(scope="module")
def page(repository):
    return (repository / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def conformance(page, tmp_path_factory):
    """The kit on the plugin of the page, imported as the package that the page calls it."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "my_package.py").write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        plugin = importlib.import_module("my_package").KeepLargest
        stated = {
            "plugin": plugin(drop=2),
            "zero": plugin(drop=0),
            "accepts": zoo.accepted("vit", "bert-padded"),
            "refuses": zoo.REFUSED[-1:],
            "lossless": "its task is in test_the_example_is_no_good_method",
        }
        yield type("Kit", (PluginConformance,), stated)


@pytest.mark.parametrize("name", check_names())
def test_the_plugin_of_the_page_passes(conformance, name):
    for check, _, call in checks(conformance):
        if check == name:
            call()


@pytest.mark.slow
def test_the_example_is_no_good_method(conformance):
    """As the page says: random tokens lose less than it does."""
    from edgetok.graph import Step, rewrite
    from edgetok.testing import digits
    from edgetok.testing.reductions import RandomDrop
    from edgetok.testing.trial import Trial, subject

    trial = Trial(type(conformance.plugin)(drop=16), subject(digits.component))
    drawn = rewrite(trial.subject.program, [Step(s.site, RandomDrop(), s.keep) for s in trial.steps])
    loss = digits.divergence(trial.subject.dense, trial.optimised, every=5)
    assert digits.divergence(trial.subject.dense, drawn, every=5) < loss <= 0.01


def test_the_table_names_every_check(page):
    named = set(re.findall(r"`(\w+)`", page.split("What is checked:")[1].split("A check that cannot hold")[0]))
    assert {f"test_{name}" for name in named} >= set(check_names())
    assert {name for name in named if f"test_{name}" not in check_names()} == set()
