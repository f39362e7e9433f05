import json

PLUGIN = '''
    from typing import Literal
    from edgetok.hookspecs import hookimpl
    from edgetok.plugin import Plugin
    from pydantic import Field

    api_version = "1"

    class Halve(Plugin):
        """Keeps every second [bold]token[/bold]."""

        name = "halve"
        summary = "keep every second token"
        paper = "Halving, 2020"
        stages = ("graph",)
        changes = ("token-count",)
        every: int = Field(2, ge=1, description="keep one of so many")
        order: Literal["kept", "reference"] = Field("kept", description="order of the new tokens")
        must: bool = Field(description="no default")

    @hookimpl
    def edgetok_plugins():
        return [Halve]
'''


def test_the_list_shows_strangers_and_what_is_broken(edgetok, distribution, site):
    distribution("acme", "1.2", acme_halve=PLUGIN)
    distribution("bolt", "0.1", bolt="import a_module_that_is_missing")
    listed = json.loads(edgetok("plugins", "list", "--json", path=site).stdout)
    assert {"name": "halve", "stages": ["graph"], "summary": "keep every second token", "from": "acme 1.2"} in listed[
        "plugins"
    ]
    broken = next(b for b in listed["broken"] if b["name"] == "bolt")
    assert broken["code"] == "ET109"
    assert "a_module_that_is_missing" in broken["why"]
    done = edgetok("plugins", "list", path=site)
    assert done.returncode == 0
    assert "keep every second token" in done.stdout
    assert "a_module_that_is_missing" in done.stdout


def test_info_shows_options_paper_and_tags(edgetok, distribution, site):
    distribution("acme", "1.2", acme_halve=PLUGIN)
    info = json.loads(edgetok("plugins", "info", "halve", "--json", path=site).stdout)
    assert (info["paper"], info["changes"], info["from"]) == ("Halving, 2020", ["token-count"], "acme 1.2")
    assert info["options"] == [
        {"name": "every", "type": "int", "default": "2", "description": "keep one of so many"},
        {
            "name": "order",
            "type": "'kept' | 'reference'",
            "default": "'kept'",
            "description": "order of the new tokens",
        },
        {"name": "must", "type": "bool", "default": "required", "description": "no default"},
    ]
    text = edgetok("plugins", "info", "halve", path=site).stdout
    for part in ("keep one of so many", "Halving, 2020", "[bold]token[/bold]"):
        assert part in text


def test_using_a_broken_plugin_says_why(edgetok, distribution, site):
    distribution("bolt", "0.1", bolt="import a_module_that_is_missing")
    done = edgetok("plugins", "info", "bolt", path=site)
    assert done.returncode == 3
    assert done.stderr.startswith("ET109: package 'bolt' of bolt 0.1 failed to load")


def test_a_duplicate_is_an_error_naming_both(edgetok, distribution, site):
    distribution("acme", "1.2", acme_halve=PLUGIN)
    distribution("bolt", "0.1", bolt_halve=PLUGIN)
    done = edgetok("plugins", "list", path=site)
    assert done.returncode == 3
    assert done.stderr.startswith("ET110")
    assert "acme 1.2 and bolt 0.1" in done.stderr


def test_golden_built_in_list(edgetok, golden):
    done = edgetok("plugins", "list")
    assert done.returncode == 0
    golden("cli/plugins-list.txt", done.stdout)
