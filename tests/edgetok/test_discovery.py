import pytest

from edgetok.discovery import discover
from edgetok.errors import ApiVersion, BadOption, BrokenPlugin, DuplicateName, UnknownExporter, UnknownPlugin

GOOD = """
    from edgetok.hookspecs import hookimpl
    from edgetok.plugin import Plugin
    from pydantic import Field

    api_version = "1"

    class Halve(Plugin):
        name = "halve"
        summary = "keep every second token"
        paper = "none"
        stages = ("graph",)
        every: int = Field(2, ge=1, description="keep one of so many")

    @hookimpl
    def edgetok_plugins():
        return [Halve]
"""


def test_a_strangers_plugin_is_found_with_its_distribution(distribution, points):
    distribution("acme", "1.2", acme_halve=GOOD)
    registry = discover(points())
    assert registry.plugins["halve"].distribution == "acme 1.2"
    assert registry.plugin("halve", {"every": 3}).every == 3
    assert registry.broken == ()


def test_two_distributions_with_one_name_are_refused_naming_both(distribution, points):
    distribution("acme", "1.2", acme_halve=GOOD)
    distribution("bolt", "0.1", bolt_halve=GOOD)
    with pytest.raises(DuplicateName) as error:
        discover(points())
    assert "acme 1.2 and bolt 0.1" in error.value.why


def test_installing_order_does_not_matter(distribution, points):
    distribution("acme", "1.2", acme_halve=GOOD)
    distribution("bolt", "0.1", bolt=GOOD.replace('"halve"', '"third"'))
    assert list(discover(points()).plugins) == list(discover(reversed(points())).plugins) == ["halve", "third"]


def test_a_failing_import_breaks_only_itself(distribution, points):
    distribution("acme", "1.2", acme_halve=GOOD)
    distribution("bolt", "0.1", bolt="import a_module_that_is_missing")
    registry = discover(points())
    assert list(registry.plugins) == ["halve"]
    (broken,) = registry.broken
    assert (broken.name, broken.distribution) == ("bolt", "bolt 0.1")
    with pytest.raises(BrokenPlugin, match="a_module_that_is_missing"):
        registry.plugin("bolt")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise SystemExit(3)", "SystemExit"),
        (GOOD.replace("return [Halve]", "raise RuntimeError('no luck')"), "no luck"),
        (GOOD.replace("return [Halve]", "return [object()]"), "is no plugin"),
        (GOOD.replace('name = "halve"', 'name = "Halve It"'), "not kebab-case"),
        (GOOD.replace('summary = "keep every second token"', ""), "no summary"),
        (GOOD.replace("edgetok_plugins", "edgetok_plugin"), "unknown hook 'edgetok_plugin'"),
        (GOOD.replace("def edgetok_plugins()", "def edgetok_plugins(surprise)"), "surprise"),
    ],
)
def test_what_breaks_the_contract_is_listed_as_broken(distribution, points, source, says):
    distribution("bolt", "0.1", bolt=source)
    registry = discover(points())
    assert registry.plugins == {}
    (broken,) = registry.broken
    assert isinstance(broken.error, BrokenPlugin)
    assert says in str(broken.error)
    assert broken.distribution == "bolt 0.1"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (GOOD.replace('api_version = "1"', 'api_version = "0"'), "API version '0'"),
        (GOOD.replace('api_version = "1"', ""), "states no api_version"),
        (GOOD.replace('paper = "none"', 'paper = "none"; api_version = "2"'), "API version '2'"),
    ],
)
def test_another_api_version_is_refused_naming_the_distribution(distribution, points, source, says):
    distribution("bolt", "0.1", bolt=source)
    registry = discover(points())
    (broken,) = registry.broken
    assert isinstance(broken.error, ApiVersion)
    assert "bolt 0.1" in broken.error.what
    assert says in broken.error.why
    with pytest.raises(ApiVersion):
        registry.plugin(broken.name)


def test_a_class_may_state_the_api_version_for_its_module(distribution, points):
    source = GOOD.replace('api_version = "1"', "").replace('paper = "none"', 'paper = "none"; api_version = "1"')
    distribution("acme", "1.2", acme=source)
    assert list(discover(points()).plugins) == ["halve"]


def test_unknown_names_suggest_the_nearest(distribution, points):
    distribution("acme", "1.2", acme_halve=GOOD)
    registry = discover(points())
    with pytest.raises(UnknownPlugin) as error:
        registry.plugin("halv")
    assert "did you mean 'halve'?" in error.value.hint
    with pytest.raises(UnknownExporter, match="there is no exporter 'onx'"):
        registry.exporter("onx")


def test_bad_options_name_the_plugin_and_the_valid_ones(distribution, points):
    distribution("acme", "1.2", acme_halve=GOOD)
    with pytest.raises(BadOption) as error:
        discover(points()).plugin("halve", {"evry": 3})
    assert error.value.what == "plugin 'halve' has no option 'evry'"
    assert "did you mean 'every'?" in error.value.hint
    assert "every: int = 2" in error.value.hint


def test_targets_sources_and_label_rules_come_through_the_same_door(distribution, points, site):
    (site / "phone.toml").write_text('name = "phone"\nsummary = "s"\naliases = ["p"]\nexporter = "e"\nruntime = "r"\n')
    (site / "bad.toml").write_text('nam = "phone"\n')
    source = """
        from pathlib import Path
        from edgetok.hookspecs import hookimpl

        api_version = "1"

        @hookimpl
        def edgetok_targets():
            return sorted(Path(__file__).parent.glob("*.toml"))

        @hookimpl
        def edgetok_model_sources():
            return {"zoo": lambda name: name.upper()}

        @hookimpl
        def edgetok_label_rules(rule):
            rule("acme::op")
    """
    distribution("acme", "1.2", acme=source)
    registry = discover(points())
    assert registry.target("p").name == registry.target("phone").name == "phone"
    assert [(b.name, b.error.code) for b in registry.broken] == [("bad", "ET112")]
    assert registry.sources["zoo"].value("vit") == "VIT"
    added: list[str] = []
    registry.add_label_rules(added.append)
    assert added == ["acme::op"]


def test_an_alias_that_is_taken_is_a_duplicate(distribution, points, site):
    for name in ("a", "b"):
        text = f'name = "{name}"\nsummary = "s"\naliases = ["same"]\nexporter = "e"\nruntime = "r"\n'
        (site / f"{name}.toml").write_text(text)
    source = """
        from pathlib import Path
        from edgetok.hookspecs import hookimpl
        api_version = "1"

        @hookimpl
        def edgetok_targets():
            return list(Path(__file__).parent.glob("*.toml"))
    """
    distribution("acme", "1.2", acme=source)
    with pytest.raises(DuplicateName, match="'same'"):
        discover(points())


def test_every_built_in_loads():
    assert discover().broken == ()
